/* Checkpoints: what is saved comes back, all or nothing, and a run goes on to the same bits. */
#include "nn/checkpoint.h"
#include "nn/seal.h"
#include "tests/fake_device.h"
#include "tests/nn/expect.h"
#include "tests/nn/run.h"
#include "tests/nn/scratch.h"

#include <criterion/criterion.h>
#include <string.h>

static grd_scope *scope;
static const char *path;

static void begin(void)
{
    scratch_begin();
    scope = grd_scope_begin();
    path = scratch_path("run.h5");
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    scratch_end();
}

TestSuite(checkpoint, .init = begin, .fini = end);

static void save(const grd_checkpoint *what)
{
    cr_assert_eq(grd_save(path, what), GRD_OK, "%s", grd_error_message());
}

static void load(const grd_checkpoint *what)
{
    cr_assert_eq(grd_load(path, what), GRD_OK, "%s", grd_error_message());
}

Test(checkpoint, a_run_goes_on_to_the_same_bits)
{
    run whole = run_create(1), half = run_create(1), other = run_create(2);
    const grd_checkpoint all = run_checkpoint(&half), into = run_checkpoint(&other);
    run_steps(&whole, 9);
    run_steps(&half, 4);
    save(&all);
    cr_assert_not(run_equal(&half, &other));
    load(&into);
    cr_assert(run_equal(&half, &other));
    cr_assert_eq(other.step, 4);
    run_steps(&other, 5);
    cr_assert(run_equal(&whole, &other));
    cr_assert_not(run_equal(&whole, &half));
}

Test(checkpoint, the_same_state_gives_the_same_bytes)
{
    static unsigned char first[1 << 17], second[1 << 17];
    run r = run_create(1);
    run_steps(&r, 2);
    const grd_checkpoint all = run_checkpoint(&r);
    save(&all);
    const long size = scratch_read("run.h5", first, sizeof first);
    run again = run_create(3);
    const grd_checkpoint into = run_checkpoint(&again);
    load(&into);
    save(&into);
    cr_assert_eq(scratch_read("run.h5", second, sizeof second), size);
    cr_assert_arr_eq(first, second, (size_t)size);
}

/* Every dtype, a buffer, a tied tensor, a scalar, nothing at all. */
static grd_module *zoo(double value)
{
    grd_module *m = grd_module_create("Zoo", 0, NULL), *child = grd_module_create("Child", 0, NULL);
    const int64_t whole[3] = { (int64_t)value, -1, INT64_MIN };
    const bool truths[2] = { value > 1, true };
    grd_module_add(m, "child", child);
    grd_module_add_parameter(m, "f32", grd_full(GRD_SHAPE(3, 2), value));
    grd_tensor *tied = grd_module_add_parameter(child, "tied", grd_full(GRD_SHAPE(4), value));
    grd_module_add_parameter(m, "also_tied", tied);
    grd_module_add_parameter(child, "f64", grd_cast(grd_full(GRD_SHAPE(2), value), GRD_F64));
    grd_module_add_parameter(child, "f16", grd_cast(grd_full(GRD_SHAPE(2), value), GRD_F16));
    grd_module_add_parameter(child, "bf16", grd_cast(grd_full(GRD_SHAPE(2), value), GRD_BF16));
    grd_module_add_parameter(child, "scalar", grd_full(GRD_SCALAR, value));
    grd_module_add_parameter(child, "none", grd_full(GRD_SHAPE(0, 3), value));
    grd_module_add_buffer(m, "i64", grd_from_i64(whole, 3, GRD_SHAPE(3)));
    grd_module_add_buffer(m, "bool", grd_from_bool(truths, 2, GRD_SHAPE(2)));
    cr_assert(m && !grdi_latched(), "%s", grd_error_message());
    return m;
}

static bool same_states(const grd_module *a, const grd_module *b)
{
    bool same = grdi_module_num_states(a) == grdi_module_num_states(b);
    for (int64_t i = 0; same && i < grdi_module_num_states(a); i++)
        same = same_bits(grdi_module_state(a, i).tensor, grdi_module_state(b, i).tensor);
    return same;
}

Test(checkpoint, every_dtype_comes_back)
{
    grd_module *saved = zoo(1.1), *loaded = zoo(2.2);
    cr_assert_not(same_states(saved, loaded));
    save(&(grd_checkpoint){ .model = saved });
    load(&(grd_checkpoint){ .model = loaded });
    cr_assert(same_states(saved, loaded));
    const grdi_archive *archive = grdi_checkpoint_read("test", path);
    cr_assert_str_eq(grdi_get(archive, "model/child.bf16/dtype", GRDI_TEXT)->text, "bfloat16");
    cr_assert(grdi_find(archive, "model/also_tied", GRDI_ARRAY));
    cr_assert_null(grdi_find(archive, "model/child.tied", GRDI_ARRAY), "one tensor once");
}

Test(checkpoint, parts_may_be_left_out)
{
    run r = run_create(1), other = run_create(2);
    run_steps(&r, 2);
    const grd_checkpoint all = run_checkpoint(&r);
    save(&all);
    load(&(grd_checkpoint){ .model = other.model });
    cr_assert_eq(other.step, 0);
    cr_assert(same_states(r.model, other.model));

    int64_t step = 77;
    save(&(grd_checkpoint){ .model = r.model, .config = "{\"a\": 1}" });
    cr_assert_eq(grd_load(path, &(grd_checkpoint){ .step = &step }), GRD_ERROR_MISMATCH);
    expect_error(GRD_ERROR_MISMATCH, "run.h5: was saved without a step at ");
    cr_assert_eq(grd_load(path, &(grd_checkpoint){ .optimizer = r.optimizer }), GRD_ERROR_MISMATCH);
    expect_error(GRD_ERROR_MISMATCH, "was saved without an optimizer");
    cr_assert_eq(grd_load(path, &(grd_checkpoint){ .rng = r.rng }), GRD_ERROR_MISMATCH);
    expect_error(GRD_ERROR_MISMATCH, "was saved without a generator");
    cr_assert_eq(step, 77);
    const grdi_archive *archive = grdi_checkpoint_read("test", path);
    cr_assert_str_eq(grdi_get(archive, "config", GRDI_DOCUMENT)->text, "{\"a\": 1}");
}

Test(checkpoint, buffers_may_be_views)
{
    grd_module *m = grd_module_create("Net", 0, NULL), *n = grd_module_create("Net", 0, NULL);
    const float values[] = { 1, 2, 3, 4, 5, 6 };
    const grd_tensor *x = grd_from_f32(values, 6, GRD_SHAPE(2, 3)), *y = grd_zeros(GRD_SHAPE(2, 3));
    grd_module_add_buffer(m, "turned", grd_transpose(x, 0, 1));
    grd_module_add_buffer(n, "turned", grd_transpose(y, 0, 1));
    save(&(grd_checkpoint){ .model = m });
    load(&(grd_checkpoint){ .model = n });
    cr_assert(same_bits(x, y));

    grd_module *o = grd_module_create("Net", 0, NULL);
    grd_module_add_buffer(o, "turned", grd_expand(grd_zeros(GRD_SHAPE(1, 2)), GRD_SHAPE(3, 2)));
    cr_assert_eq(grd_load(path, &(grd_checkpoint){ .model = o }), GRD_ERROR_STATE);
    expect_error(GRD_ERROR_STATE, "load: turned is an expanded view: its elements overlap");
}

/* ---- Refusals ---- */

static grd_module *layers(int64_t width, const char *first, const char *second)
{
    grd_module *m = grd_module_create("Net", 0, NULL);
    grd_module_add_parameter(m, first, grd_ones(GRD_SHAPE(width)));
    grd_module_add_parameter(m, second, grd_ones(GRD_SHAPE(2, width)));
    return m;
}

static void expect_mismatch(grd_module *model, const char *message)
{
    cr_assert_eq(grd_load(path, &(grd_checkpoint){ .model = model }), GRD_ERROR_MISMATCH);
    expect_error(GRD_ERROR_MISMATCH, message);
    for (int64_t i = 0; i < grdi_module_num_states(model); i++)
        cr_assert_eq(grd_item(grd_mean(grdi_module_state(model, i).tensor)), 1, "nothing loaded");
}

Test(checkpoint, another_model_is_told)
{
    save(&(grd_checkpoint){ .model = layers(8, "bias", "weight") });
    expect_mismatch(layers(4, "bias", "weight"), "run.h5: bias: found [8], expected [4] at ");
    expect_mismatch(layers(8, "bias", "weights"),
                    "of the model's parameters it lacks 1: weights (did you mean \"weight\"?), and "
                    "it holds 1 unknown: weight at ");
    grd_module *many = grd_module_create("Many", 0, NULL);
    for (char name[2] = "a"; *name < 'g'; ++*name)
        grd_module_add_parameter(many, name, grd_ones(GRD_SHAPE(1)));
    expect_mismatch(many, "it lacks 6: a, b, c, ..., and it holds 2 unknown: bias, weight at ");
    expect_mismatch(grd_module_create("Empty", 0, NULL),
                    "it lacks 0, and it holds 2 unknown: bias, weight");

    grd_scope *doubles = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    expect_mismatch(layers(8, "bias", "weight"), "run.h5: bias: found f32, expected f64");
    cr_assert_eq(grd_scope_end(doubles), GRD_OK);

    save(&(grd_checkpoint){ .step = &(int64_t){ 1 } });
    expect_mismatch(layers(8, "bias", "weight"),
                    "it lacks 2: bias, weight, and it holds 0 unknown");
}

Test(checkpoint, another_optimizer_is_told)
{
    grd_module *m = layers(4, "bias", "weight");
    const grd_adam_options decay = { .weight_decay = 0.1 };
    grd_optimizer *adamw = grd_adamw_create(m, &decay), *adam = grd_adam_create(m, NULL);
    save(&(grd_checkpoint){ .model = m, .optimizer = adamw });
    cr_assert_eq(grd_load(path, &(grd_checkpoint){ .optimizer = adam }), GRD_ERROR_MISMATCH);
    expect_error(GRD_ERROR_MISMATCH, "run.h5: optimizer: found adamw, expected adam at ");

    grd_module *frozen = grd_module_create("Outer", 0, NULL);
    grd_module_add(frozen, "net", layers(4, "bias", "weight"));
    cr_assert_eq(grd_load(path, &(grd_checkpoint){ .optimizer = grd_adamw_create(frozen, &decay) }),
                 GRD_ERROR_MISMATCH);
    expect_error(GRD_ERROR_MISMATCH, "run.h5: holds no optimizer/m/net.bias");
    grd_module *fewer = grd_module_create("Net", 0, NULL);
    grd_module_add_parameter(fewer, "bias", grd_ones(GRD_SHAPE(4)));
    cr_assert_eq(grd_load(path, &(grd_checkpoint){ .optimizer = grd_adamw_create(fewer, &decay) }),
                 GRD_ERROR_MISMATCH);
    expect_error(GRD_ERROR_MISMATCH, "optimizer: found 4 moments, expected 2");
}

Test(checkpoint, another_tokenizer_is_told)
{
    const grd_tokenizer *abc = grd_tokenizer_characters("abc"), *bytes = grd_tokenizer_bytes();
    save(&(grd_checkpoint){ .tokenizer = abc });
    load(&(grd_checkpoint){ .tokenizer = grd_tokenizer_characters("cba") });
    cr_assert_eq(grd_load(path, &(grd_checkpoint){ .tokenizer = bytes }), GRD_ERROR_MISMATCH);
    expect_error(GRD_ERROR_MISMATCH, "tokenizer: found 3 characters, expected 256 bytes");
    cr_assert_eq(grd_load(path, &(grd_checkpoint){ .tokenizer = grd_tokenizer_characters("abd") }),
                 GRD_ERROR_MISMATCH);
    expect_error(GRD_ERROR_MISMATCH,
                 "tokenizer: found 3 characters, expected 3 characters, others");

    cr_assert_eq(grd_tokenizer_size(grd_load_tokenizer(path)), 3);
    cr_assert_str_eq(grd_token_text(grd_load_tokenizer(path), 1), "b");
    save(&(grd_checkpoint){ .tokenizer = bytes });
    cr_assert_eq(grd_tokenizer_size(grd_load_tokenizer(path)), 256);
    save(&(grd_checkpoint){ .step = &(int64_t){ 1 } });
    cr_assert_null(grd_load_tokenizer(path));
    expect_error(GRD_ERROR_FORMAT, "load_tokenizer: ");
}

Test(checkpoint, what_may_change_bits_is_warned_of)
{
    run r = run_create(1);
    grd_checkpoint all = run_checkpoint(&r);
    save(&all);
    load(&all);
    cr_assert_null(grd_load_warnings());

    const grd_adam_options options = { .betas = { 0.9, 0.98 }, .weight_decay = 0.1 };
    grd_schedule schedule = *all.schedule;
    schedule.total_steps = 17;
    all.schedule = &schedule;
    all.optimizer = grd_adamw_create(r.model, &options);
    all.data = grd_data_task("copy", &(grd_task_options){ .batch_size = 3, .length = 5 });
    load(&all);
    cr_assert(strstr(grd_load_warnings(), "the data are not those of the file: their SHA-256"));
    cr_assert(strstr(grd_load_warnings(), "loader/batch_size was 4, is 3"));
    cr_assert(strstr(grd_load_warnings(), "loader/context was 6, is 10"));
    cr_assert(strstr(grd_load_warnings(), "optimizer/beta2 was 0.999, is 0.98"));
    cr_assert(strstr(grd_load_warnings(), "schedule/total_steps was 100, is 17"));
    load(&(grd_checkpoint){ 0 });
    cr_assert_null(grd_load_warnings());
}

/* Writes what was read, changed. */
static void write_back(const grdi_archive *archive)
{
    grdi_bytes *bytes = grdi_archive_encode(archive, GRDI_SEAL_SIZE);
    cr_assert(bytes, "%s", grd_error_message());
    grdi_seal(bytes);
    scratch_write("run.h5", bytes->data, bytes->size);
}

Test(checkpoint, another_machine_is_warned_of_and_a_broken_state_refused)
{
    run r = run_create(1);
    const grd_checkpoint all = run_checkpoint(&r);
    save(&all);
    grdi_archive *archive = grdi_checkpoint_read("test", path);
    grdi_value *core = (grdi_value *)grdi_get(archive, "environment/blas_core", GRDI_TEXT);
    memset(core->text, 'x', core->bytes);
    write_back(archive);
    load(&all);
    cr_assert(strstr(grd_load_warnings(), "environment/blas_core was xxx"));

    grdi_value *step = (grdi_value *)grdi_get(archive, "step", GRDI_INTEGER);
    step->integer = -1;
    write_back(archive);
    cr_assert_eq(grd_load(path, &all), GRD_ERROR_FORMAT);
    expect_error(GRD_ERROR_FORMAT, "run.h5: step is negative");
    step->integer = 1;
    archive->count -= 4; /* from within the tokenizer's and the loader's */
    grdi_value *steps = (grdi_value *)grdi_get(archive, "optimizer/v/out/steps", GRDI_INTEGER);
    memcpy(steps->path + strlen(steps->path) - 5, "ships", 5);
    write_back(archive);
    cr_assert_eq(grd_load(path, &all), GRD_ERROR_FORMAT);
    expect_error(GRD_ERROR_FORMAT, "run.h5: holds no integer optimizer/v/out/steps");
    archive->count += 4; /* to be freed */
}

Test(checkpoint, nothing_is_saved_or_loaded_after_an_error)
{
    run r = run_create(1);
    const grd_checkpoint all = run_checkpoint(&r);
    grd_fail(GRD_ERROR_NOT_FINITE, "test", "planted");
    cr_assert_eq(grd_save(path, &all), GRD_ERROR_NOT_FINITE);
    cr_assert_eq(scratch_files(), 0);
    cr_assert_eq(grd_load(path, &all), GRD_ERROR_NOT_FINITE);
    cr_assert_null(grd_load_tokenizer(path));
    expect_error(GRD_ERROR_NOT_FINITE, "test: planted");

    cr_assert_eq(grd_save(NULL, &all), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "save: an argument is NULL");
    cr_assert_eq(grd_load(path, NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "load: an argument is NULL");
    cr_assert_eq(grd_load(path, &all), GRD_ERROR_NO_FILE);
    expect_error(GRD_ERROR_NO_FILE, "run.h5: there is no such file at ");
    cr_assert_eq(grd_save(path, &(grd_checkpoint){ .config = "\xff" }), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "config is not UTF-8");
    cr_assert_eq(scratch_files(), 0);
}

static grd_module *transformer(grd_rng *rng, bool tied)
{
    return grd_transformer_create(rng, &(grd_transformer_options){ .vocab_size = 11,
                                                                   .context = 6,
                                                                   .embed_dim = 8,
                                                                   .num_heads = 2,
                                                                   .num_layers = 2,
                                                                   .direction = GRD_CAUSAL,
                                                                   .activation = GRD_GELU,
                                                                   .norm_first = true,
                                                                   .dropout = 0.25,
                                                                   .tied = tied });
}

/* Made from the file alone, in the file's dtype, and it says the same. */
Test(checkpoint, a_transformer_is_made_from_its_file)
{
    for (int dtype = GRD_F32; dtype <= GRD_F64; dtype++)
        for (int tied = 0; tied < 2; tied++) {
            const grd_scope_options typed = { .dtype = (grd_dtype)dtype };
            grd_scope *inner = grd_scope_begin_with(&typed);
            grd_module *saved = transformer(grd_rng_create(3), tied);
            save(&(grd_checkpoint){ .model = saved });
            grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F32 });
            grd_module *loaded = grd_load_transformer(path);
            cr_assert(loaded, "%s", grd_error_message());
            cr_assert(same_states(saved, loaded));
            cr_assert_eq(grd_module_eval(saved), GRD_OK);
            cr_assert_eq(grd_module_eval(loaded), GRD_OK);
            const grd_tensor *tokens = grd_from_i64((int64_t[]){ 1, 4, 2, 10 }, 4, GRD_SHAPE(1, 4));
            cr_assert(same_bits(grd_forward(saved, tokens), grd_forward(loaded, tokens)));
            cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
        }
    save(&(grd_checkpoint){ .model = layers(4, "bias", "weight") });
    cr_assert_null(grd_load_transformer(path));
    expect_error(GRD_ERROR_MISMATCH, "load_transformer: ");
    cr_assert_null(grd_load_transformer(NULL));
    expect_error(GRD_ERROR_ARGUMENT, "load_transformer: an argument is NULL at ");
}

/* Nothing above tensor/ may touch the memory of a device. */
Test(checkpoint, works_on_another_device)
{
    grd_module *host = zoo(1.1);
    save(&(grd_checkpoint){ .model = host });
    grd_scope *elsewhere = grd_scope_begin_with(&(grd_scope_options){ .device = fake_device() });
    grd_module *there = layers(4, "bias", "weight");
    grd_optimizer *optimizer = grd_adamw_create(there, &(grd_adam_options){ .weight_decay = 0.1 });
    const grd_checkpoint all = { .model = there, .optimizer = optimizer };
    save(&all);
    load(&all);
    cr_assert_eq(grd_scope_end(elsewhere), GRD_OK, "%s", grd_error_message());
    grd_module *here = layers(4, "bias", "weight");
    grd_scope *change = grd_scope_begin_no_grad();
    cr_assert_eq(grd_fill_(grdi_module_state(here, 0).tensor, 5), GRD_OK);
    grd_scope_end(change);
    load(&(grd_checkpoint){ .model = here });
    cr_assert_eq(grd_item(grd_mean(grdi_module_state(here, 0).tensor)), 1);
}
