/* A model's attention on a text, as a page. */
#include "nn/files.h"
#include "nn/transformer.h"
#include "tensor/front.h"
#include "view/attention_model.h"
#include "view/page.h"

#include <stdio.h>
#include <string.h>

static const char op[] = "view_model";

const char *const *grdi_view_texts(const char *by, const grd_tokenizer *tokenizer,
                                   const grd_tensor *tokens)
{
    const int64_t count = grd_tensor_count(tokens);
    int64_t *numbers = grdi_scratch(by, (size_t)count, sizeof *numbers);
    const char **texts = numbers ? grdi_scratch(by, (size_t)count, sizeof *texts) : NULL;
    if (!texts || grd_read_i64(tokens, numbers, count) != GRD_OK)
        return NULL;
    for (int64_t i = 0; i < count; i++)
        texts[i] = grd_token_text(tokenizer, numbers[i]);
    return texts;
}

grd_tensor *grdi_view_next(const grd_module *model, const grd_tensor *tokens)
{
    const grd_transformer_options *made = grdi_transformer_options(op, model);
    if (!made || made->direction != GRD_CAUSAL || !tokens)
        return NULL;
    const grd_tensor *none = grd_full_like(grd_slice(tokens, 1, 0, 1, 1), -100);
    return grd_cat(GRD_LIST(grd_slice(tokens, 1, 1, grd_tensor_size(tokens, 1), 1), none), 1);
}

static const grd_tensor *tokens_of(const grd_module *model, const grd_tokenizer *tokenizer,
                                   const char *text)
{
    const grd_transformer_options *made = grdi_transformer_options(op, model);
    const grd_tensor *tokens = made ? grd_encode(tokenizer, text) : NULL;
    const int64_t count = grd_tensor_count(tokens);
    if (!tokens)
        return NULL;
    if (count == 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "text is empty: there is nothing to see");
    if (count > made->context)
        return grdi_fail(GRD_ERROR_SHAPE, op,
                         "text is %lld tokens long, but the model's context is %lld (give fewer)",
                         (long long)count, (long long)made->context);
    return grd_unsqueeze(tokens, 0);
}

static void write_page(const char *html_path, const grdi_model_view *view)
{
    grdi_model_attention seen;
    if (!grdi_model_look(op, view, &seen))
        return;
    const grd_view_attention_options page = { .layers = seen.layers,
                                              .num_layers = seen.num_layers,
                                              .query_tokens = view->texts,
                                              .mask = &seen.mask,
                                              .details = seen.details };
    grdi_view_attention(html_path, &page, json_pack("{s:o}", "scores", grdi_model_scores(&seen)));
}

grd_status grd_view_model(const char *html_path, grd_module *model, const grd_tokenizer *tokenizer,
                          const char *text)
{
    if (!html_path || !model || !tokenizer || !text)
        grdi_fail_null(op);
    if (grdi_latched())
        return grdi_self.latched;
    grd_scope *scope = grd_scope_begin_no_grad();
    grdi_model_view view = { .model = model, .shown = 1 };
    view.tokens = tokens_of(model, tokenizer, text);
    view.targets = grdi_view_next(model, view.tokens);
    if (view.tokens)
        view.texts = grdi_view_texts(op, tokenizer, view.tokens);
    if (view.texts)
        write_page(html_path, &view);
    return grd_scope_end(scope);
}
