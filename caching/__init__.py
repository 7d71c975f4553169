"""Values computed from box scores: their tiers, formulas, warming and serving."""
