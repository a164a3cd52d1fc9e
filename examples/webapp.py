# SPDX-License-Identifier: Apache-2.0
"""A concurrent web application: sessions and events, shared by worker threads, backed up.

The rule that holds at every instant: a session's `requests` is the number of its events.
"""

from __future__ import annotations

import tempfile
import threading
import time
from random import Random

from dictdb import BackupManager, DictDB

db = DictDB()
sessions = db.create_table("sessions", primary_key="session_id")
events = db.create_table("events", primary_key="event_id")
sessions.create_index("user_id")
events.create_index("session_id")


def handle_request(session_id: str, user_id: int, action: str) -> None:
    """Serves one request; called from many threads."""
    # Both tables are locked, so that reading the count and writing it back is one step, and what
    # is written to the two becomes visible together.
    with db.write_lock("sessions", "events"):
        session = sessions.get(session_id)
        requests = session["requests"] + 1 if session else 1
        sessions.upsert({"session_id": session_id, "user_id": user_id, "requests": requests})
        sessions.update({"last_active": time.time()}, where=sessions.session_id == session_id)
        events.insert({"session_id": session_id, "action": action})


def log_out(session_id: str) -> None:
    """Forgets a session and what it did."""
    with db.write_lock("sessions", "events"):
        sessions.delete(where=sessions.session_id == session_id)
        events.delete(where=events.session_id == session_id)


def check() -> int:
    """Checks the rule at one instant and returns the number of events; stops nobody."""
    with db.snapshot() as snapshot:
        requests = {s["session_id"]: s["requests"] for s in snapshot["sessions"].select()}
        for session_id, count in requests.items():
            seen = snapshot["events"].count(where=events.session_id == session_id)
            if seen != count:
                raise AssertionError(f"{session_id}: {count} requests, {seen} events")
        if sum(requests.values()) != len(snapshot["events"]):
            raise AssertionError("events without a session")
        return len(snapshot["events"])


def worker(seed: int, request_count: int) -> None:
    """Serves requests of random users."""
    random = Random(seed)
    for _ in range(request_count):
        user_id = random.randrange(20)
        if random.random() < 0.02:
            log_out(f"session-{user_id}")
        else:
            handle_request(f"session-{user_id}", user_id, random.choice(["view", "buy"]))


def main() -> None:
    """Runs four workers beside backups and checks."""
    with tempfile.TemporaryDirectory() as folder, BackupManager(db, folder, backup_interval=60):
        threads = [threading.Thread(target=worker, args=(seed, 2000)) for seed in range(4)]
        for thread in threads:
            thread.start()
        checks = 0
        while any(thread.is_alive() for thread in threads):
            check()
            checks += 1
        for thread in threads:
            thread.join()
        print(f"{check()} events of {len(sessions)} sessions; the rule held {checks + 1} times")


if __name__ == "__main__":
    main()
