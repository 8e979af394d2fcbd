"""The statements that copy what stays of a partition to the one that takes its place. They name partitions, and names
cannot be parameters, so they are built from the fixed descriptions of the tables. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from cluster.journal.day_tables import DayTable
from cluster.policy.retention import Cutoffs, Partition, Rewrite


class Copy(Struct, frozen=True):
    """One rewrite of a table's partitions. ``columns`` are those of the table."""

    table: DayTable
    rewrite: Rewrite
    columns: Sequence[str]

    @property
    def target(self) -> str:
        """The name of the new partition until it takes the place of the others."""
        return f"new_{self.table.name}"

    @property
    def name(self) -> str:
        """Its name from then on."""
        if self.rewrite.is_oldest:
            return f"{self.table.name}_before_{self.rewrite.until:%Y%m%d}"
        return f"{self.table.name}_{self.rewrite.first:%Y%m%d}"

    @property
    def is_by_keys(self) -> bool:
        """Whether only what is known by its key stays: then nothing else is read."""
        return self.rewrite.until <= self.cutoffs.records

    @property
    def cutoffs(self) -> Cutoffs:
        return self.rewrite.cutoffs

    def watch(self, source: Partition) -> str:
        """Note what others change in a source from now on."""
        return (
            f"CREATE OR REPLACE TRIGGER note_changes AFTER INSERT OR UPDATE OR DELETE ON {source.name} FOR EACH ROW"
            f" EXECUTE FUNCTION note_changed_row('{self.table.name}', '{_key(self.table)}')"
        )

    def blocks(self, source: Partition) -> str:
        """Copy what stays of some blocks of a source."""
        return self._insert(
            f"FROM {source.name} s WHERE s.ctid >= %(from_block)s::tid AND s.ctid < %(to_block)s::tid"
            f" AND ({self._stays()})",
            self._keeps_body(),
        )

    def keys(self, source: Partition) -> str:
        """Copy those rows of a source whose keys are in a page of what stays. Returns nothing; ``page_end`` tells where
        the page ends."""
        return self._insert(
            f"FROM ({self._page()}) k JOIN {source.name} s ON {_join(self.table)}",
            self._keeps_body(),
        )

    def page_end(self) -> str:
        """The last key of a page; no row when it is empty."""
        key = _page_key(self.table)
        return f"SELECT {key} FROM ({self._page()}) k ORDER BY {key} DESC LIMIT 1"

    def forget_changed(self) -> str:
        """Delete the copies of rows that were changed; returns the keys of those that had come as new."""
        body = self.table.body
        has_more = "" if body is None else f" OR s.{body} <> '' AND NOT ({self._keeps_body()})"
        return (
            f"WITH forgotten AS (DELETE FROM {self.target} s"
            " USING unnest(%(tenant_ids)s::text[], %(keys)s::text[]) AS k (tenant_id, key)"
            f" WHERE s.tenant_id = ANY (ARRAY[k.tenant_id]) AND s.{_key(self.table)} = ANY (ARRAY[{_cast(self.table)}])"
            f" RETURNING k.tenant_id, k.key, NOT ({self._stays()}){has_more} AS was_new)"
            " SELECT DISTINCT tenant_id, key FROM forgotten WHERE was_new"
        )

    def copy_changed(self, source: Partition) -> str:
        """Copy rows of a source that were changed, as they are now. What is new in it stays whatever it is, until the
        partition is rewritten again."""
        changed = (
            "SELECT tenant_id, key, bool_or(is_new) AS is_new"
            " FROM unnest(%(tenant_ids)s::text[], %(keys)s::text[], %(new)s::bool[]) AS c (tenant_id, key, is_new)"
            " GROUP BY tenant_id, key"
        )
        return self._insert(
            f"FROM ({changed}) k JOIN {source.name} s ON s.tenant_id = ANY (ARRAY[k.tenant_id])"
            f" AND s.{_key(self.table)} = ANY (ARRAY[{_cast(self.table)}]) WHERE k.is_new OR {self._stays()}",
            f"k.is_new OR {self._keeps_body()}",
        )

    def _insert(self, source: str, keeps_body: str) -> str:
        body = self.table.body
        values = [
            f"CASE WHEN {keeps_body} THEN s.{column} ELSE '' END" if column == body else f"s.{column}"
            for column in self.columns
        ]
        columns = ", ".join(self.columns)
        return f"INSERT INTO {self.target} ({columns}) SELECT {', '.join(values)} {source} ON CONFLICT DO NOTHING"

    def _stays(self) -> str:
        after = f"s.{self.table.column} >= '{self.table.first_value(self.cutoffs.records)}'"
        return f"{after} OR {_is_staying(self.table)}"

    def _keeps_body(self) -> str:
        if self.table.body is None:
            return "true"
        after = f"s.{self.table.column} >= '{self.table.first_value(self.cutoffs.bodies)}'"
        return f"{after} OR {_is_staying(self.table, 'AND f.is_unfinished')}"

    def _page(self) -> str:
        key = _page_key(self.table)
        if self.table.reference is None:
            after = "(tenant_id, sha256) > (%(after_tenant)s::text, %(after_hash)s::bytea)"
            return f"SELECT {key} FROM staying_files WHERE {after} ORDER BY {key} LIMIT %(limit)s"
        columns = key if key == "request_id" else f"{key}, tenant_id"
        return (
            f"SELECT DISTINCT {columns} FROM staying_messages WHERE {key} > %(after)s::text ORDER BY {key}"
            " LIMIT %(limit)s"
        )


def _is_staying(table: DayTable, also: str = "") -> str:
    if table.reference is None:
        return "EXISTS (SELECT FROM staying_files f WHERE f.tenant_id = s.tenant_id AND f.sha256 = s.sha256)"
    return f"EXISTS (SELECT FROM staying_messages f WHERE f.{table.reference} = s.{table.column} {also})"


def _key(table: DayTable) -> str:
    """The column that tells rows of a tenant apart, or the rows of a message."""
    return "sha256" if table.reference is None else table.column


def _cast(table: DayTable) -> str:
    return "k.key::bytea" if table.reference is None else "k.key"


def _page_key(table: DayTable) -> str:
    return "tenant_id, sha256" if table.reference is None else table.reference


def _join(table: DayTable) -> str:
    match table.reference:
        case None:
            return "s.tenant_id = ANY (ARRAY[k.tenant_id]) AND s.sha256 = ANY (ARRAY[k.sha256])"
        case "request_id":
            return "s.id = ANY (ARRAY[k.request_id])"
        case "message_id":
            return f"s.tenant_id = ANY (ARRAY[k.tenant_id]) AND s.{table.column} = ANY (ARRAY[k.message_id])"
