"""Using models: loading one."""
