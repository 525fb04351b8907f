"""Signal sources for prices, carbon, supply and site power: one file each."""
