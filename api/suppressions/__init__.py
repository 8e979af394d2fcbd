"""/v3/suppression and /v3/asm: the addresses that a tenant's mail does not go to, in SendGrid v3's shapes."""
