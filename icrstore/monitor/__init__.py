"""What anyone runs beside the store: `icr-monitor`, which follows both logs from outside.

It needs no key, and believes the trust file and what it saw before.
"""
