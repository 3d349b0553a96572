"""Parts together: real servers, real clients, real disks."""
