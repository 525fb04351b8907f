"""What users write: the three kinds of `wattshift.io/v1alpha1` as pydantic models.

CRDs (`crdgen`), the API reference (`refgen`) and the checks of one object (`validate`) and of
references between objects (`references`) derive from them. Imports nothing of ours outside itself.
"""

GROUP = "wattshift.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
