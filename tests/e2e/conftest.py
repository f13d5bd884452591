"""What every test here shares: whatever it has run, the audit log holds in the end."""

from tests.audited import audit_logs_hold

__all__ = ["audit_logs_hold"]
