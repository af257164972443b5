"""Settings that belong to one theme, with what checks them; `settings.schema` puts all of them together."""
