"""The sandboxed process, the only place where a library parses an untrusted PDF."""
