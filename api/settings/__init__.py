"""A tenant's defaults over HTTP: tracking, footer, bounces and enforced TLS, in SendGrid v3's shapes."""
