"""Perfect-information bounds: what nobody can beat. They read the Scenario, and are no policies."""
