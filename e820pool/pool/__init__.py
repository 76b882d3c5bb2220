"""Pages that outlive a kexec: allocate, deposit, withdraw, rebuild."""
