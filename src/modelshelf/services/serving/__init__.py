"""Models at work: loading one."""
