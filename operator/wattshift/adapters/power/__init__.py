"""Power profiles of replicas on accelerators: packaged YAML and ConfigMaps of the installation."""
