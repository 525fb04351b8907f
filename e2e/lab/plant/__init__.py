"""The plant: what a site's electricity really does, which the operator can only measure."""
