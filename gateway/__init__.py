"""Keyferry's core: one keystore of signing keys, whatever door they are asked for through."""
