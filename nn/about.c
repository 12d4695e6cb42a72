#include <gradus/gradus.h>

#include <string.h>

const char *grd_version(void)
{
    return GRDI_VERSION;
}

/* Every struct that is public, by name. */
static const struct {
    const char *name;
    size_t size;
} structs[] = {
    { "grd_adam_options", sizeof(grd_adam_options) },
    { "grd_allocator", sizeof(grd_allocator) },
    { "grd_attention", sizeof(grd_attention) },
    { "grd_attention_check", sizeof(grd_attention_check) },
    { "grd_attention_report", sizeof(grd_attention_report) },
    { "grd_attention_view_layer", sizeof(grd_attention_view_layer) },
    { "grd_backward_options", sizeof(grd_backward_options) },
    { "grd_backward_step", sizeof(grd_backward_step) },
    { "grd_batch", sizeof(grd_batch) },
    { "grd_checkpoint", sizeof(grd_checkpoint) },
    { "grd_cpu_info", sizeof(grd_cpu_info) },
    { "grd_cross_entropy_options", sizeof(grd_cross_entropy_options) },
    { "grd_custom_op", sizeof(grd_custom_op) },
    { "grd_decoder_args", sizeof(grd_decoder_args) },
    { "grd_decoder_attention", sizeof(grd_decoder_attention) },
    { "grd_decoder_output", sizeof(grd_decoder_output) },
    { "grd_dims", sizeof(grd_dims) },
    { "grd_encoder_layer_options", sizeof(grd_encoder_layer_options) },
    { "grd_encoder_options", sizeof(grd_encoder_options) },
    { "grd_encoder_output", sizeof(grd_encoder_output) },
    { "grd_error", sizeof(grd_error) },
    { "grd_generate_options", sizeof(grd_generate_options) },
    { "grd_grad_norm", sizeof(grd_grad_norm) },
    { "grd_grad_options", sizeof(grd_grad_options) },
    { "grd_grad_scaler_options", sizeof(grd_grad_scaler_options) },
    { "grd_gradcheck_options", sizeof(grd_gradcheck_options) },
    { "grd_gradcheck_report", sizeof(grd_gradcheck_report) },
    { "grd_graph_options", sizeof(grd_graph_options) },
    { "grd_group", sizeof(grd_group) },
    { "grd_head_effect", sizeof(grd_head_effect) },
    { "grd_head_effects", sizeof(grd_head_effects) },
    { "grd_head_scores", sizeof(grd_head_scores) },
    { "grd_heads", sizeof(grd_heads) },
    { "grd_in_projection", sizeof(grd_in_projection) },
    { "grd_kernel_choice", sizeof(grd_kernel_choice) },
    { "grd_linear_options", sizeof(grd_linear_options) },
    { "grd_list", sizeof(grd_list) },
    { "grd_mask", sizeof(grd_mask) },
    { "grd_matrix_options", sizeof(grd_matrix_options) },
    { "grd_maybe_int", sizeof(grd_maybe_int) },
    { "grd_maybe_real", sizeof(grd_maybe_real) },
    { "grd_mha_args", sizeof(grd_mha_args) },
    { "grd_mha_options", sizeof(grd_mha_options) },
    { "grd_named", sizeof(grd_named) },
    { "grd_norm_options", sizeof(grd_norm_options) },
    { "grd_pattern_score", sizeof(grd_pattern_score) },
    { "grd_qkv", sizeof(grd_qkv) },
    { "grd_schedule", sizeof(grd_schedule) },
    { "grd_scope_options", sizeof(grd_scope_options) },
    { "grd_score_options", sizeof(grd_score_options) },
    { "grd_sdpa_options", sizeof(grd_sdpa_options) },
    { "grd_sgd_options", sizeof(grd_sgd_options) },
    { "grd_shape", sizeof(grd_shape) },
    { "grd_task_options", sizeof(grd_task_options) },
    { "grd_task_pattern", sizeof(grd_task_pattern) },
    { "grd_text_options", sizeof(grd_text_options) },
    { "grd_transformer_options", sizeof(grd_transformer_options) },
    { "grd_transformer_output", sizeof(grd_transformer_output) },
    { "grd_values_indices", sizeof(grd_values_indices) },
    { "grd_view_attention_options", sizeof(grd_view_attention_options) },
};

size_t grd_sizeof(const char *type)
{
    for (size_t i = 0; type && i < sizeof structs / sizeof structs[0]; i++)
        if (strcmp(type, structs[i].name) == 0)
            return structs[i].size;
    return 0;
}
