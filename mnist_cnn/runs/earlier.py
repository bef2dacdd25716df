"""Runs of version 0.1.0: class paths that have moved since, and digests of settings that hung on those paths."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

MOVED = {
    "mnist_cnn.speed.Speed": "mnist_cnn.speed.measures.Speed",
    "mnist_cnn.pruning.PruneTrial": "mnist_cnn.search.pruning.PruneTrial",
}
# Keys of the root that came later, with what was done before.
CAME_LATER: dict[str, Any] = {"metrics": {}, "weights": None, "freeze": None, "rehearse": True, "threads": "auto"}
# Old digest -> `settings_digest` of the same configuration, by composing every entry at commit de03733 and today.
DIGESTS: dict[str, str] = {
    "04a205bff5fd": "b08d573f2128", "0946da0cd63f": "d70b7e432288", "1354a327d522": "b4971e4a78fd",
    "1b08573177ca": "921621df5ee4", "1b0f6e79eb52": "3d312752dd5e", "1db1e7e7738d": "9373cc279365",
    "1fe832498092": "483bdf050831", "206a85ce6298": "a952d5badff8", "22653be5f3f4": "f32c96276994",
    "27e0f8c28b20": "ed9daa7ec7fa", "290f9bfd5917": "aff5451c4fbb", "2939781cfcb1": "37c3b4c54ac6",
    "2bd175916ca0": "aea7c8352700", "2e4bbf3cecdf": "9dd2c1caeb21", "2f18917b4051": "c6364573c3ca",
    "380f67f423b0": "96c5026c5e0e", "429ecbc6522f": "e056a8cfbc38", "42ea2277f753": "6082810a3b27",
    "44db5e1a65c5": "3e5ae21101c7", "44f093aeadb4": "211100744eb8", "47ffbf3e6c5a": "e2657c1ebde1",
    "4a037fc78717": "4acd04888501", "4f99c8e3a44a": "242178ea5c9d", "5025fcfcad2a": "5c0ffe3ab2eb",
    "59613e6428d3": "11cbecae0433", "6ebdd7a343f1": "b73c331dd7bf", "7141cb0af69d": "394888b38f2e",
    "715886d468ef": "20aa90773c7c", "76b07e2d6317": "c90a04e4d7c1", "7bf0fc495687": "7c862dec5ff1",
    "7c97ce8e650f": "20e56f45145b", "7ec1b10712d4": "26ee394a8eed", "834cb319fcd2": "bdc32a9882ba",
    "842118bd8477": "1a5a284f9b79", "8bf95bc06314": "7a3357d018b8", "944ef9ca2ff0": "03637c5e4252",
    "96c94e97363d": "acd45149d9ff", "9b1999506040": "92a499e61c8f", "a275c5c56369": "5695c489ce08",
    "a4bf7fcff813": "93907812945e", "a6935de3d3b2": "2672cb5cbf7f", "a732389dc966": "3ab2af1430d1",
    "acba9a02faf2": "ea6074756511", "ad766ae7cbb1": "27372b00014c", "ae5c1dd44e0f": "d46e1df13f4c",
    "afb31f1a9b98": "0bca84a4448f", "b53f186c81d2": "709a0e7d6a60", "c52ede86c217": "34b6bdfaa6f9",
    "c558a649390a": "9d1cadbdeb85", "c6c0954f300a": "1e5c8cf43e2d", "ca3c3cb06224": "ce1b206d3a72",
    "cbebec132daf": "b4e14f0963cd", "d23bfde9a490": "67670237f426", "d6883900a526": "75cbcca8e1ab",
    "da8ac59a2f66": "efda2ce746c7", "dfc7b0824505": "fa1dbf031c92", "e067fab8a392": "5147fbfe9571",
    "e1138202a454": "cc8c8b28fbfe", "e92235425fe9": "922b1a4d9420", "eb5ef1957580": "fd0788e29c38",
    "ebfc45b6ac4d": "f09c2443c84f", "ef89b566a736": "da9b8a89da67", "effdc7e50432": "e00d7a0d0964",
    "f23339c01727": "018539dfe4e9", "f7ff2582e1e3": "884dd7e7b059", "f886629a393b": "624056e76c84",
    "fa1c1deb0688": "1f194c0454a6", "fc8bc268998a": "c0c40cad1f63",
}  # fmt: skip


def with_present_names(cfg: DictConfig) -> DictConfig:
    """A saved configuration with the class paths and the keys of today."""
    tree: Any = CAME_LATER | _renamed(OmegaConf.to_container(cfg))
    if isinstance(speed := tree.get("speed"), dict):  # two measures that became one
        before = [speed.pop(name, None) for name in ("fast_dropout", "fast_batch_norm")]
        if any(value is not None for value in before):
            speed["fused_layers"] = any(before)
    return OmegaConf.create(tree)


def _renamed(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: MOVED.get(v, v) if k == "_target_" and isinstance(v, str) else _renamed(v) for k, v in node.items()}
    return [_renamed(item) for item in node] if isinstance(node, list) else node
