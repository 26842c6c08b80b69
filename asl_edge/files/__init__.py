"""Files written whole or not at all, folders, locks, and what a disk can and cannot do."""
