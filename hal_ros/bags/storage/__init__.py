"""The files of a bag as they lie on the disk: MCAP, SQLite, packed or plain, whole or damaged."""
