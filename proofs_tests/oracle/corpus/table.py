"""The one table of the corpus: every correct verifier and every defect."""

from __future__ import annotations

from functools import partial

from proofs_tests.oracle.corpus.entry import Entry

_node = partial(Entry, "correct.torch_node", kind="node")
_numpy_node = partial(Entry, "correct.numpy_node", kind="node", arrays="numpy")
_chain = partial(Entry, "correct.torch_chain", kind="chain")
_race = partial(Entry, "correct.torch_races", kind="chain")
_numpy_chain = partial(Entry, "correct.numpy_chain", kind="chain", arrays="numpy")
_python = partial(Entry, "correct.python_random", arrays="numpy")
_jax = partial(Entry, "correct.jax_chain", kind="chain", arrays="jax")
_batch = partial(Entry, "correct.torch_batch", kind="batch")
_tree = partial(Entry, "correct.trees", kind="tree")
_whole = partial(Entry, "generate.correct", kind="generate", arrays="numpy")

CORRECT = (
    _node("recursive"),
    _node("recursive_without_replacement", drafts="without_replacement"),
    _node("maximal_coupling"),
    _node("target_only", drafts="top_k"),
    _node("match"),
    _numpy_node("k_seq"),
    _numpy_node("recursive_by_recursion"),
    _numpy_node("mixture_of_tests"),
    _python("node_choices", kind="node"),
    _chain("loop_with_item"),
    _chain("vectorised"),
    _chain("early_return"),
    _chain("in_log_space"),
    _chain("in_place_on_copies"),
    _chain("bernoulli_coins"),
    _chain("block"),
    _chain("sampler_match"),
    _chain("without_bonus"),
    _chain("point_mass_drafts", drafts="top_k"),
    _chain("stops_by_entropy"),
    _chain("half_laws", dtype="float16"),
    _race("exponential_race"),
    _race("shared_race"),
    _race("gumbel_of_uniforms"),
    _race("gumbel_of_exponentials"),
    _race("inverted_cumsum"),
    _race("sorted_residual"),
    _race("masked_row"),
    _numpy_chain("generator_choice"),
    _numpy_chain("global_uniforms"),
    _numpy_chain("in_place_rows"),
    _numpy_chain("block_backwards"),
    _numpy_chain("multinomial_one_hot"),
    _numpy_chain("types_by_name"),
    _python("chain_on_lists", kind="chain"),
    _jax("split_keys"),
    _jax("folded_keys"),
    _batch("gathered"),
    _batch("flat_with_offsets"),
    _batch("row_by_row", arrays="numpy"),
    _batch("matched"),
    _tree("recursive_walk"),
    _tree("one_coin_per_level", arrays="numpy", drafts="top_k"),
    _tree("match_down"),
    _tree("distinct_children", drafts="without_replacement"),
    _python("tree_top_children", kind="tree", drafts="top_k"),
    _python("tree_traversal", kind="tree"),
    _whole("assistant"),
    _whole("prompt_lookup"),
    _whole("greedy_drafts"),
    _whole("stale_draft_cache"),
    _whole("rewound_caches"),
    _whole("ends_at_stop", stop=0),
    _whole("keeps_the_unsure_token"),
    Entry("correct.log", "as_it_was", kind="log", arrays="numpy"),
)

LAW, ZERO, UNSAFE = "exact_law", "zero_probability", "unsafe_zero"
COUNT, MUTATES, MATES, PADDING = "count_range", "inputs_not_mutated", "batch_mates", "padding"


def _defects(module: str, kind: str, arrays: str = "torch") -> partial[Entry]:
    return partial(Entry, module, kind=kind, arrays=arrays, check=LAW)


_node = _defects("defects.torch_node", "node")
_other_node = _defects("defects.other_node", "node", "numpy")
_chain = _defects("defects.torch_chain", "chain")
_other_chain = _defects("defects.other_chain", "chain", "numpy")
_batch = _defects("defects.batch", "batch")
_tree = _defects("defects.tree", "tree")
_drafting = _defects("generate.drafting", "generate", "numpy")
_states = _defects("generate.states", "generate", "numpy")
_log = partial(Entry, "defects.log", kind="log", arrays="numpy", check="logprobs")

DEFECTS = (
    _node("truncated_draft_law", defect="C1"),
    _node("without_replacement_on_independent", defect="C1", seen="MCSD#5"),
    _other_node("independent_rule_on_distinct", drafts="without_replacement", defect="C1", seen="MCSD#5"),
    _other_node("soft_law_for_fixed_drafts", drafts="top_k", defect="C1", seen="rtp-llm#1295"),
    _node("one_uniform_for_all", defect="C2", seen="flashinfer#424"),
    _other_node("coin_used_again", defect="C2"),
    _node("restarts_the_generator", defect="C2", check="draft_stream", seen="PEARL (read)"),
    _node("residual_is_target", defect="C3"),
    _node("target_never_reduced", defect="C3", seen="flexflow-train#1302"),
    _other_node("residual_not_normalised", defect="C3", seen="jaymody/speculative-sampling#9"),
    _other_node("k_seq_forgets_its_tries", defect="C3"),
    _node("corrects_by_argmax", defect="C5", seen="sglang#31214"),
    _node("temperature_in_test_only", defect="C5", seen="vllm#9834"),
    _node("zeroes_the_callers_target", drafts="top_k", defect="C6", check=MUTATES, seen="vllm-ascend#2881"),
    _node("subtracts_before_the_ratio", defect="C6", seen="vllm#16952"),
    _node("last_id_is_padding", defect="C7"),
    _other_node("token_zero_is_none", defect="C7"),
    _node("skips_duplicates", defect="C11"),
    _node("best_draft_first", defect="C11"),
    _other_node("drops_unlikely_drafts", defect="C11", seen="llama.cpp#22506"),
    _node("accepts_on_equality", defect="C12", check=UNSAFE),
    _node("bfloat16_uniforms", defect="C12"),
    _node("clamped_laws", defect="C12", check=ZERO),
    _other_node("inverts_from_the_left", defect="C12", check=UNSAFE),
    _chain("draft_law_of_first_row", defect="C1"),
    _chain("bfloat16_draft_law", defect="C1", seen="DeepSpec#31"),
    _chain("soft_law_for_argmax_drafts", drafts="top_k", defect="C1", seen="transformers#32867, #47932"),
    _chain("draft_temperature_twice", defect="C1"),
    _chain("last_coins_are_one", defect="C2"),
    _chain("reseeds_at_every_position", defect="C2", seen="feifeibear/LLMSpeculativeSampling (read)"),
    _other_chain("coin_used_again", defect="C2"),
    _other_chain("key_of_the_token", arrays="jax", defect="C2"),
    _chain("softmax_of_residual", defect="C3", seen="transformers#28508"),
    _chain("absolute_difference", defect="C3"),
    _chain("block_with_plain_residual", defect="C3", seen="vllm-ascend#7807"),
    _chain("subtracts_by_rank", defect="C3", seen="llama.cpp examples/speculative (read)"),
    _chain("bonus_one_row_early", defect="C4", seen="TensorRT-LLM#15098"),
    _chain("emits_the_rejected", defect="C4"),
    _chain("bonus_after_rejection", defect="C4"),
    _chain("no_correction", defect="C4", check=COUNT),
    _chain("greedy_bonus", defect="C5", seen="vllm#9834"),
    _chain("top_two_residual", defect="C5"),
    _other_chain("top_p_on_corrections", defect="C5", seen="EAGLE#215"),
    _chain("divides_in_place", defect="C6", seen="vllm#16952"),
    _chain("answers_in_the_callers_tokens", defect="C6", check=MUTATES),
    _chain("strips_zeros_as_padding", defect="C7"),
    _chain("shorter_vocabulary", defect="C7"),
    _chain("drops_unlikely_drafts", defect="C11", seen="llama.cpp#22506"),
    _other_chain("ends_at_token_zero", defect="C11"),
    _chain("accepts_on_equality", defect="C12", check=UNSAFE),
    _chain("bfloat16_uniforms", defect="C12", seen="gpt-fast (read)"),
    _chain("residual_with_a_floor", defect="C12"),
    _other_chain("inverts_from_the_left", defect="C12", check=UNSAFE),
    _batch("same_coins_for_all_rows", defect="C2", check=MATES),
    _batch("one_inversion_for_all_rows", defect="C2", check=MATES),
    _batch("product_over_rows", defect="C3", check=MATES),
    _batch("counts_all_passes", defect="C3"),
    _batch("normalised_over_batch", arrays="numpy", defect="C3"),
    _batch("bonus_by_flat_index", defect="C4"),
    _batch("residual_of_the_last_draft", defect="C4"),
    _batch("masks_the_callers_draft", defect="C6", check=MUTATES, seen="vllm#30846"),
    _batch("pads_with_the_vocabulary_size", defect="C7", check="support"),
    _batch("shortest_row_decides", defect="C9"),
    _batch("ends_with_the_first_rejection", arrays="numpy", defect="C9"),
    _batch("placeholder_in_the_middle", defect="C9", check=PADDING, seen="vllm#30122"),
    _batch("sorted_and_not_back", defect="C9"),
    _batch("budget_by_content", defect="C11", check=MATES),
    _batch("accepts_on_equality", defect="C12", check=UNSAFE),
    _tree("draft_row_of_the_child", defect="C1"),
    _tree("distinct_rule_on_independent", defect="C1"),
    _tree("soft_law_for_fixed_children", drafts="top_k", defect="C1", seen="llama.cpp examples/speculative (read)"),
    _tree("one_coin_for_all_levels", arrays="numpy", drafts="top_k", defect="C2"),
    _tree("siblings_share_a_coin", defect="C2"),
    _tree("fresh_coin_per_sibling", arrays="numpy", drafts="top_k", defect="C2"),
    _tree("paths_judged_apart", defect="C3", seen="Medusa (read)"),
    _tree("rejected_child_stays", arrays="numpy", drafts="top_k", defect="C3"),
    _tree("final_draw_ignores_rejections", defect="C3"),
    _tree("last_row_of_the_parent", defect="C4", seen="TensorRT-LLM#15098"),
    _tree("candidate_after_the_path", defect="C4"),
    _tree("zeroes_the_callers_rows", drafts="top_k", defect="C6", check=MUTATES),
    _tree("node_zero_is_padding", defect="C7"),
    _tree("child_of_anybody", defect="C9"),
    _tree("skips_equal_siblings", defect="C11"),
    _tree("prunes_unlikely_nodes", defect="C11"),
    _tree("half_precision_coins", defect="C12"),
    _tree("accepts_on_equality", defect="C12", check=UNSAFE),
    _drafting("greedy_drafts_soft_law", defect="C1", seen="transformers#32867, #47932"),
    _drafting("draft_temperature_not_reported", defect="C1"),
    _drafting("top_k_not_reported", defect="C1", seen="EAGLE#215"),
    _drafting("law_one_position_late", defect="C1", seen="transformers#28166"),
    _drafting("one_noise_for_draft_and_coin", defect="C2", seen="vllm#47386"),
    _drafting("seed_set_every_round", defect="C2", seen="feifeibear/LLMSpeculativeSampling (read)"),
    _states("runs_past_stop", stop=0, defect="C4", check="nothing_after_stop", seen="transformers#47912"),
    _states("more_than_asked_for", defect="C4", check=COUNT),
    _states("bonus_without_last_draft", defect="C4"),
    _states("temperature_missing_in_bonus", defect="C5", seen="vllm#9834"),
    _states("first_token_outside", defect="C5"),
    _drafting("smaller_draft_vocabulary", defect="C7"),
    _states("cache_not_rewound", defect="C8", seen="transformers#30413"),
    _states("cache_rewound_too_far", defect="C8", seen="mlx-examples#149"),
    _states("position_after_bonus", defect="C8"),
    _states("first_token_stripped", defect="C8"),
    _drafting("drops_the_unsure_token", defect="C11", seen="llama.cpp#22506"),
    _drafting("drafts_again_on_repeats", defect="C11"),
    _states("accepts_on_equality", defect="C12", check=UNSAFE),
    _log("logprobs_of_the_draft", defect="C10"),
    _log("logprobs_one_row_late", defect="C10"),
    _log("logprobs_all_zero", defect="C10", seen="llama.cpp#27972"),
)
