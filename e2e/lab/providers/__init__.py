"""Where a lab's clusters come from: `local` processes, `kind`, or clusters that exist already."""
