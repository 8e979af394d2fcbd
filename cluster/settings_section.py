"""What all sections of the settings are."""

from cluster.policy.forms import Form


class Section(Form, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section, or all of them: a key that it does not have is an error."""
