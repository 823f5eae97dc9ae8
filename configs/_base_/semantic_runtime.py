# Runtime of semantic models: mmseg's scope, and our datasets of label maps.
_base_ = "./default_runtime.py"
custom_imports = dict(imports=["mmproscale", "mmproscale.datasets.loading.label_maps"])
default_scope = "mmseg"
visualizer = dict(type="SegLocalVisualizer")
