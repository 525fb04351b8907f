"""Contracts: what a kilowatt-hour costs now, what the bill is, and how the obligations stand.

Pure: no I/O, no clock, no randomness; money is `Decimal`, energy integer Wh, power integer W.
`parse` builds a `Contract`; `meter` keeps the period to date; `bill`, `marginal` and `obligation`
read both. Formulas: docs/contract.md.
"""
