"""Small synthetic days for the lab; `make_day.py` says which facts they are made from."""
