"""The filters through which a tenant's query reads tables. Pure."""

from analytics.erasing import TABLES


def of_tenant(database: str, tenant_id: str) -> dict[str, str]:
    """The settings by which a query reads one tenant's rows only.

    Each table is read through a filter. It must be the first to see a row: an expression of the query that ran before
    it could tell by an error what other tenants' rows hold. So no condition is moved before it or merged with it, and a
    query with PREWHERE is refused. Numbers of rows that were read are not told.
    """
    filtered = ", ".join(f"'{database}.{table}': 'tenant_id = \\'{_plain(tenant_id)}\\''" for table in TABLES)
    return {
        "additional_table_filters": f"{{{filtered}}}",
        "optimize_move_to_prewhere": "0",
        "query_plan_merge_filters": "0",
        "output_format_write_statistics": "0",
    }


def _plain(tenant_id: str) -> str:
    if not tenant_id.isascii() or not tenant_id.replace("_", "").isalnum():
        raise ValueError("a tenant's id has letters and digits only")
    return tenant_id
