"""How a silo's training process is started and spoken to: a process of its own, or within this one."""
