"""A process node: plays kubelet for one node and runs its pods' containers as real processes.

`python -m e2e.lab.node CONFIG.json` serves one node of one cluster; `process_node.py` beside this
package starts it. There are no namespaces and no images: an image name maps to a local command, and
paths of mounts are replaced in commands and variables by the real folders.
"""
