/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations and options that are wrong, or that Lutra does not run: refused by file and key; and which
 * of the configuration, the option, the file's name and the shapes decides. */
#include "model_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lutra/lutra.h"

/* A golden model with its configuration, and no golden files beside it. */
static char *folder_of(const char *golden, const char *changes)
{
    char *folder = fixture_folder();
    fixture_write_model(folder, golden, NULL);
    if (changes)
        fixture_write_config(folder, golden, changes);
    return folder;
}

struct bad_config {
    const char *changes; /* to config.json */
    lutra_status status;
    const char *message; /* a part of it, beside the file's name */
};

static void check_configs(const char *golden, const struct bad_config *configs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lutra_error error;
        char *folder = folder_of(golden, configs[i].changes);
        expect_refusal(folder, NULL, configs[i].status, &error, configs[i].message, folder, NULL);
        fixture_remove(folder);
    }
}

static void timm_configurations_that_lie_are_refused(void **state)
{
    static const struct bad_config configs[] = {
        {"{\"architecture\":\"resnet50\"}", LUTRA_ERROR_UNSUPPORTED, "unknown architecture \"resnet50\""},
        {"{\"architecture\":\"vit_base_patch16_clip_quickgelu_224\"}", LUTRA_ERROR_UNSUPPORTED,
         "unknown architecture"},
        {"{\"architecture\":null}", LUTRA_ERROR_UNSUPPORTED, "neither timm's"},
        {"{\"architecture\":7}", LUTRA_ERROR_UNSUPPORTED, "neither timm's"},
        {"{\"model_args\":null}", LUTRA_ERROR_FORMAT, "vit_tiny_patch16_224"},
        {"{\"model_args\":{\"num_heads\":3}}", LUTRA_ERROR_FORMAT, "3 attention heads"},
        {"{\"model_args\":{\"num_heads\":0}}", LUTRA_ERROR_FORMAT, "\"num_heads\""},
        {"{\"model_args\":{\"num_heads\":-2}}", LUTRA_ERROR_FORMAT, "\"num_heads\""},
        {"{\"model_args\":{\"num_heads\":\"2\"}}", LUTRA_ERROR_FORMAT, "\"num_heads\""},
        {"{\"model_args\":{\"depth\":3}}", LUTRA_ERROR_FORMAT, "depth of 3"},
        {"{\"model_args\":{\"embed_dim\":24}}", LUTRA_ERROR_FORMAT, "dimension of 24"},
        {"{\"model_args\":{\"patch_size\":8}}", LUTRA_ERROR_FORMAT, "patch size of 8"},
        {"{\"model_args\":{\"mlp_ratio\":3}}", LUTRA_ERROR_FORMAT, "MLP dimension of 60"},
        {"{\"model_args\":{\"mlp_ratio\":1e300}}", LUTRA_ERROR_FORMAT, "\"mlp_ratio\""},
        {"{\"model_args\":{\"img_size\":[16,16,16]}}", LUTRA_ERROR_FORMAT, "\"img_size\""},
        {"{\"model_args\":{\"img_size\":15}}", LUTRA_ERROR_ARGUMENT, "15"},
        {"{\"model_args\":{\"global_pool\":\"map\"}}", LUTRA_ERROR_UNSUPPORTED, "\"global_pool\" is \"map\""},
        {"{\"model_args\":{\"global_pool\":\"avg\"},\"global_pool\":\"max\"}", LUTRA_ERROR_UNSUPPORTED,
         "\"max\""},
        {"{\"model_args\":{\"act_layer\":\"quick_gelu\"}}", LUTRA_ERROR_UNSUPPORTED,
         "\"act_layer\" is \"quick_gelu\""},
        {"{\"model_args\":{\"norm_layer\":\"rmsnorm\"}}", LUTRA_ERROR_UNSUPPORTED, "\"norm_layer\""},
        {"{\"model_args\":{\"mlp_layer\":\"glu\"}}", LUTRA_ERROR_UNSUPPORTED, "\"mlp_layer\""},
        {"{\"model_args\":{\"pool_include_prefix\":true}}", LUTRA_ERROR_UNSUPPORTED,
         "\"pool_include_prefix\""},
        {"{\"model_args\":{\"dynamic_img_size\":1}}", LUTRA_ERROR_FORMAT, "\"dynamic_img_size\""},
        {"{\"pretrained_cfg\":{\"fixed_input_size\":\"no\"}}", LUTRA_ERROR_FORMAT, "\"fixed_input_size\""},
        {"{\"pretrained_cfg\":{\"mean\":[0.5,0.5]}}", LUTRA_ERROR_FORMAT, "\"mean\""},
        {"{\"pretrained_cfg\":{\"mean\":[0.5,0.5,\"0.5\"]}}", LUTRA_ERROR_FORMAT, "\"mean\""},
        {"{\"pretrained_cfg\":{\"std\":[0.5,0,0.5]}}", LUTRA_ERROR_FORMAT, "\"std\""},
        {"{\"pretrained_cfg\":{\"std\":[0.5,0.5,1e-320]}}", LUTRA_ERROR_FORMAT, "\"std\""},
        {"{\"pretrained_cfg\":{\"crop_pct\":0}}", LUTRA_ERROR_FORMAT, "\"crop_pct\""},
        {"{\"pretrained_cfg\":{\"crop_pct\":1.5}}", LUTRA_ERROR_FORMAT, "\"crop_pct\""},
        {"{\"pretrained_cfg\":{\"crop_mode\":\"random\"}}", LUTRA_ERROR_UNSUPPORTED,
         "\"crop_mode\" is \"random\""},
        {"{\"pretrained_cfg\":{\"interpolation\":\"sinc\"}}", LUTRA_ERROR_UNSUPPORTED,
         "\"interpolation\" is \"sinc\""},
        {"{\"pretrained_cfg\":{\"input_size\":[1,16,16]}}", LUTRA_ERROR_UNSUPPORTED, "\"input_size\""},
        {"{\"pretrained_cfg\":{\"input_size\":[3,0,16]}}", LUTRA_ERROR_FORMAT, "\"input_size\""},
        {"{\"label_names\":[\"a\",\"b\"]}", LUTRA_ERROR_FORMAT,
         "2 labels do not match the model's 7 classes"},
    };
    (void)state;
    check_configs("timm-token", configs, sizeof configs / sizeof *configs);
}

static void hugging_face_configurations_that_lie_are_refused(void **state)
{
    static const struct bad_config configs[] = {
        {"{\"model_type\":\"swin\"}", LUTRA_ERROR_UNSUPPORTED, "\"model_type\" is \"swin\""},
        {"{\"model_type\":null}", LUTRA_ERROR_UNSUPPORTED, "neither timm's"},
        {"{\"hidden_act\":\"relu\"}", LUTRA_ERROR_UNSUPPORTED, "\"hidden_act\" is \"relu\""},
        {"{\"hidden_act\":\"quick_gelu\"}", LUTRA_ERROR_UNSUPPORTED, "\"hidden_act\" is \"quick_gelu\""},
        {"{\"use_swiglu_ffn\":true}", LUTRA_ERROR_UNSUPPORTED, "\"use_swiglu_ffn\""},
        {"{\"num_attention_heads\":5}", LUTRA_ERROR_FORMAT, "5 attention heads"},
        {"{\"num_attention_heads\":2.5}", LUTRA_ERROR_FORMAT, "\"num_attention_heads\""},
        {"{\"hidden_size\":32}", LUTRA_ERROR_FORMAT, "dimension of 32"},
        {"{\"num_hidden_layers\":1}", LUTRA_ERROR_FORMAT, "depth of 1"},
        {"{\"intermediate_size\":64}", LUTRA_ERROR_FORMAT, "MLP dimension of 64"},
        {"{\"layer_norm_eps\":-1e-6}", LUTRA_ERROR_FORMAT, "\"layer_norm_eps\""},
        {"{\"layer_norm_eps\":\"1e-6\"}", LUTRA_ERROR_FORMAT, "\"layer_norm_eps\""},
        {"{\"id2label\":{\"5\":\"a\"}}", LUTRA_ERROR_FORMAT, "6 labels do not match the model's 5 classes"},
    };
    (void)state;
    check_configs("hf-vit-eps-1e-5", configs, sizeof configs / sizeof *configs);
}

/* The tiny models' patches are none of these sizes, so that the message tells which was taken. */
static void an_absent_patch_size_is_the_types_default(void **state)
{
    static const struct {
        const char *golden, *message;
    } cases[] = {
        {"hf-vit", "patch size of 16"},
        {"hf-deit", "patch size of 16"},
        {"hf-dinov2", "patch size of 14"},
        {"hf-dinov2-registers", "patch size of 16"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct bad_config config = {"{\"patch_size\":null}", LUTRA_ERROR_FORMAT, cases[i].message};
        check_configs(cases[i].golden, &config, 1);
    }
}

static void preprocessors_that_lie_are_refused(void **state)
{
    static const struct bad_config files[] = {
        {"{\"size\":0}", LUTRA_ERROR_FORMAT, "\"size\""},
        {"{\"size\":{\"height\":16}}", LUTRA_ERROR_UNSUPPORTED, "\"size\""},
        {"{\"size\":{\"longest_edge\":16}}", LUTRA_ERROR_UNSUPPORTED, "\"size\""},
        {"{\"size\":{\"shortest_edge\":16}}", LUTRA_ERROR_UNSUPPORTED, "\"size\""},
        {"{\"size\":{\"shortest_edge\":16,\"width\":16}}", LUTRA_ERROR_UNSUPPORTED, "\"size\""},
        /* an input of 16 x 0 pixels */
        {"{\"image_processor_type\":\"DeiTImageProcessor\",\"crop_size\":{\"shortest_edge\":1,\"height\":16}"
         "}",
         LUTRA_ERROR_UNSUPPORTED, "\"crop_size\""},
        {"{\"image_processor_type\":\"DeiTImageProcessor\",\"crop_size\":{\"shortest_edge\":16}}",
         LUTRA_ERROR_UNSUPPORTED, "\"crop_size\" must have height and width"},
        {"{\"size\":16,\"do_resize\":false}", LUTRA_ERROR_UNSUPPORTED, "\"do_resize\""},
        {"{\"size\":16,\"resample\":6}", LUTRA_ERROR_FORMAT, "\"resample\""},
        {"{\"size\":16,\"resample\":-1}", LUTRA_ERROR_FORMAT, "\"resample\""},
        {"{\"size\":16,\"resample\":\"bicubic\"}", LUTRA_ERROR_FORMAT, "\"resample\""},
        {"{\"size\":16,\"image_mean\":0.5}", LUTRA_ERROR_FORMAT, "\"image_mean\""},
        {"{\"size\":16,\"image_std\":[0,0,0]}", LUTRA_ERROR_FORMAT, "\"image_std\""},
        {"{\"size\":16,\"rescale_factor\":0}", LUTRA_ERROR_FORMAT, "\"rescale_factor\""},
        {"{\"size\":16,\"do_normalize\":\"yes\"}", LUTRA_ERROR_FORMAT, "\"do_normalize\""},
        {"{\"image_processor_type\":\"ConvNextImageProcessor\"}", LUTRA_ERROR_UNSUPPORTED,
         "ConvNextImageProcessor"},
        {"{\"size\":16,", LUTRA_ERROR_FORMAT, "invalid JSON"},
        {"[]", LUTRA_ERROR_FORMAT, "JSON object"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        lutra_error error;
        char *folder = folder_of("hf-vit-eps-1e-5", "{}");
        fixture_write_text(folder, "preprocessor_config.json", files[i].changes);
        expect_refusal(folder, NULL, files[i].status, &error, files[i].message, "preprocessor_config.json",
                       NULL);
        fixture_remove(folder);
    }
}

static void json_errors_name_the_byte(void **state)
{
    static const struct {
        const char *text;
        const char *message;
        uint64_t offset;
    } files[] = {
        {"", "config.json", 0},
        {"{\"architecture\": ", "invalid JSON", 17},
        {"{\"a\": 1, \"a\": 2}", "duplicate", 13},
        {"{\"a\": nan}", "invalid JSON", 9},
        {"[1]", "JSON object", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        lutra_error error;
        char *folder = folder_of("timm-token", NULL);
        fixture_write_text(folder, "config.json", files[i].text);
        expect_refusal(folder, NULL, LUTRA_ERROR_FORMAT, &error, files[i].message, "config.json", "byte ",
                       NULL);
        assert_in_range(error.offset, files[i].offset > 2 ? files[i].offset - 2 : 0, files[i].offset + 2);
        fixture_remove(folder);
    }
}

/* As caches are left that were filled in part: not as if nothing were there, and the model made for other
 * pictures. */
static void links_that_lead_nowhere_are_refused(void **state)
{
    static const struct {
        const char *file, *target, *message;
    } links[] = {
        {"config.json", "nothing", "No such file"},
        {"config.json", "config.json", "symbolic links"},
        {"preprocessor_config.json", "nothing", "No such file"},
        {"preprocessor_config.json", "preprocessor_config.json", "symbolic links"},
        {"model.safetensors", "nothing", "No such file"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        lutra_error error;
        char *folder = folder_of("hf-vit", "{}"), *link = fixture_path(folder, links[i].file);
        unlink(link);
        assert_int_equal(symlink(links[i].target, link), 0);
        expect_refusal(folder, NULL, LUTRA_ERROR_IO, &error, links[i].file, links[i].message, NULL);
        free(link);
        fixture_remove(folder);
    }
}

static void options_out_of_range_are_refused(void **state)
{
    static const struct {
        lutra_model_options options;
        lutra_status status;
        const char *message;
    } cases[] = {
        {{.arch = "vit_tny_patch16_224"},
         LUTRA_ERROR_UNSUPPORTED,
         "the nearest known are vit_tiny_patch16_224"},
        {{.arch = ""}, LUTRA_ERROR_UNSUPPORTED, "unknown architecture"},
        {{.image_size = 17}, LUTRA_ERROR_ARGUMENT, "multiple of the patch size 4"},
        {{.image_size = 16384}, LUTRA_ERROR_ARGUMENT, "at most 8192"},
        {{.image_size = SIZE_MAX}, LUTRA_ERROR_ARGUMENT, "at most 8192"},
        {{.crop_pct = 1.1}, LUTRA_ERROR_ARGUMENT, "crop_pct"},
        {{.crop_pct = -0.5}, LUTRA_ERROR_ARGUMENT, "crop_pct"},
        {{.crop_pct = NAN}, LUTRA_ERROR_ARGUMENT, "crop_pct"},
        {{.crop_pct = 1.1754943508222874e-38}, LUTRA_ERROR_ARGUMENT, "crop_pct"},
        {{.labels = "/nonexistent/labels.txt"}, LUTRA_ERROR_IO, "/nonexistent/labels.txt"},
    };
    char *folder = folder_of("timm-token", "{}");
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lutra_error error;
        expect_refusal(folder, &cases[i].options, cases[i].status, &error, cases[i].message, NULL);
    }
    fixture_remove(folder);
}

static void labels_must_match_the_classes(void **state)
{
    static const struct {
        const char *text;
        lutra_status status;
        const char *message; /* or the last label's name */
    } files[] = {
        {"a\nb\nc\nd\ne\nf\ng\n", LUTRA_OK, "g"},
        {"a\r\nb\r\nc\r\nd\r\ne\r\nf\r\ng with spaces", LUTRA_OK, "g with spaces"},
        {"index\twnid\tname\n6\tn6\tg\n0\tn0\ta\n", LUTRA_OK, "g"},
        {"\357\273\277a\nb\nc\nd\ne\nf\ng\n", LUTRA_OK, "g"}, /* a byte order mark */
        {"\357\273\277index\tname\n6\tg\n0\ta\n", LUTRA_OK, "g"},
        {"\357\273\2770\ta\n6\tg\n", LUTRA_OK, "g"},
        {"a\nb\n", LUTRA_ERROR_ARGUMENT, "2 labels do not match the model's 7 classes"},
        {"a\nb\nc\nd\ne\nf\ng\nh\n", LUTRA_ERROR_ARGUMENT, "8 labels"},
        {"0\ta\nx\tb\n", LUTRA_ERROR_FORMAT, "\"x\" is not a class index"},
        {"0\ta\n99999999999999999999\tb\n", LUTRA_ERROR_FORMAT, "out of range"},
        {"0\ta\n4294967296\tb\n", LUTRA_ERROR_FORMAT, "out of range"},
        {"0\ta\n-1\tb\n", LUTRA_ERROR_FORMAT, ""},
        {"a\nb\nc\nd\ne\nf\n\xff\xfe\n", LUTRA_ERROR_FORMAT, "UTF-8"},
    };
    char *folder = folder_of("timm-token", "{}"), *labels = fixture_path(folder, "labels.txt");
    const lutra_model_options options = {.labels = labels};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        lutra_model *model;
        lutra_error error;
        fixture_write_text(folder, "labels.txt", files[i].text);
        if (files[i].status) {
            expect_refusal(folder, &options, files[i].status, &error, files[i].message, "labels.txt", NULL);
            continue;
        }
        if (lutra_model_open(folder, &options, &model, &error))
            fail_msg("%s", error.message);
        assert_string_equal(lutra_model_label(model, 0), "a");
        assert_string_equal(lutra_model_label(model, 6), files[i].message);
        assert_null(lutra_model_label(model, 7));
        lutra_model_close(model);
    }
    free(labels);
    fixture_remove(folder);
}

static void labels_with_a_byte_0_are_refused(void **state)
{
    static const struct {
        const char *text;
        size_t n, offset;
    } files[] = {
        {"a\nb\nc\0\nd\n", 9, 4}, {"a\0\n\0b\0\n\0", 8, 0}, /* UTF-16 */
        {"a\n0\tn\0\ta\n", 9, 2}, {"0\ta\n1\0x\tb\n", 10, 4}, {"a\n\0", 3, 2},
    };
    char *folder = folder_of("timm-token", "{}"), *labels = fixture_path(folder, "labels.txt");
    const lutra_model_options options = {.labels = labels};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        lutra_error error;
        fixture_write_bytes(folder, "labels.txt", files[i].text, files[i].n);
        expect_refusal(folder, &options, LUTRA_ERROR_FORMAT, &error, "labels.txt", "byte 0, which", NULL);
        assert_int_equal(error.offset, files[i].offset);
    }
    free(labels);
    fixture_remove(folder);
}

static void class_indices_are_decimal(void **state)
{
    lutra_model *model;
    lutra_error error;
    char *folder = folder_of("timm-f16", "{}"), *labels = fixture_path(folder, "labels.txt");
    const lutra_model_options options = {.labels = labels};
    (void)state;
    fixture_write_text(folder, "labels.txt",
                       "0\ta\n1\tb\n2\tc\n3\td\n4\te\n5\tf\n6\tg\n7\th\n8\ti\n9\tj\n011\tl\n10\tk\n");
    if (lutra_model_open(folder, &options, &model, &error))
        fail_msg("%s", error.message);
    assert_string_equal(lutra_model_label(model, 10), "k");
    assert_string_equal(lutra_model_label(model, 11), "l");
    lutra_model_close(model);
    free(labels);
    fixture_remove(folder);
}

/* ---- who decides ------------------------------------------------------------------------------- */

static void without_a_configuration_the_message_helps(void **state)
{
    lutra_error error;
    lutra_model *model;
    size_t size;
    char *folder = folder_of("timm-token", NULL), *path = fixture_path(folder, "model.safetensors");
    uint8_t *bytes = fixture_read(path, &size);
    (void)state;
    expect_refusal(folder, NULL, LUTRA_ERROR_ARGUMENT, &error, "dimension 20, depth 2, patch 4", "--arch",
                   "config.json", NULL);
    expect_refusal(path, NULL, LUTRA_ERROR_ARGUMENT, &error, "--arch", NULL);
    assert_int_equal(lutra_model_open_memory(bytes, size, NULL, &model, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "--arch"));
    assert_int_equal(lutra_model_open_memory(NULL, size, NULL, &model, &error), LUTRA_ERROR_ARGUMENT);
    free(bytes);
    free(path);
    fixture_remove(folder);
}

static void the_configuration_beside_a_file_counts(void **state)
{
    lutra_error error;
    lutra_model *model;
    char *folder = folder_of("timm-token", "{}"), *path = fixture_path(folder, "model.safetensors");
    (void)state;
    if (lutra_model_open(path, NULL, &model, &error))
        fail_msg("%s", error.message);
    assert_string_equal(lutra_model_get_info(model)->arch_source, "config");
    assert_int_equal(lutra_model_get_info(model)->n_heads, 2);
    lutra_model_close(model);
    free(path);
    fixture_remove(folder);
}

/* An option that won would drop what the configuration says beside the name (here two heads in place of
 * three); one that lost would be no use. So it may say the same. */
static void an_option_must_agree_with_the_configuration(void **state)
{
    static const lutra_cluster_options clustering = {.n_clusters = 4, .n_threads = 1};
    static const lutra_model_options same = {.arch = "vit_tiny_patch16_224"},
                                     other = {.arch = "deit_tiny_patch16_224"};
    char *folder = folder_of("timm-token", "{}"), *hugging_face = folder_of("hf-vit", "{}");
    char *clustered = fixture_path(folder, "clustered.safetensors");
    const char *const paths[] = {folder, clustered};
    lutra_error error;
    (void)state;
    if (lutra_cluster_file(folder, clustered, &clustering, NULL, &error))
        fail_msg("%s", error.message);
    for (size_t i = 0; i < 2; i++) {
        lutra_model *model;
        if (lutra_model_open(paths[i], &same, &model, &error))
            fail_msg("%s", error.message);
        assert_string_equal(lutra_model_get_info(model)->arch_source, "config");
        assert_int_equal(lutra_model_get_info(model)->n_heads, 2);
        lutra_model_close(model);
        expect_refusal(paths[i], &other, LUTRA_ERROR_ARGUMENT, &error, "\"vit_tiny_patch16_224\"",
                       "--arch \"deit_tiny_patch16_224\"", NULL);
    }
    expect_refusal(hugging_face, &same, LUTRA_ERROR_ARGUMENT, &error, "\"vit\"", "\"vit_tiny_patch16_224\"",
                   NULL);
    free(clustered);
    fixture_remove(folder);
    fixture_remove(hugging_face);
}

static void an_option_must_agree_with_the_tensors(void **state)
{
    static const lutra_model_options options = {.arch = "deit_tiny_patch16_224"};
    lutra_error error;
    char *folder = folder_of("timm-token", NULL);
    (void)state;
    expect_refusal(folder, &options, LUTRA_ERROR_FORMAT, &error,
                   "deit_tiny_patch16_224 (named by its option)", NULL);
    fixture_remove(folder);
}

/* timm writes a list or, of numbers with gaps, an object, at the top or in pretrained_cfg. */
static void timms_labels_are_found_wherever_they_are(void **state)
{
    static const struct {
        const char *changes, *first, *last;
    } cases[] = {
        {"{\"label_names\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\"]}", "a", "g"},
        {"{\"label_names\":{\"6\":\"g\",\"5\":\"f\",\"4\":\"e\",\"3\":\"d\",\"2\":\"c\",\"1\":\"b\",\"0\":"
         "\"a\"}}",
         "a", "g"},
        {"{\"pretrained_cfg\":{\"label_names\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\"],"
         "\"label_descriptions\":{\"g\":\"gull\"}}}",
         "a", "gull"},
        {"{\"label_names\":[\"A\",\"B\",\"C\",\"D\",\"E\",\"F\",\"G\"],"
         "\"pretrained_cfg\":{\"label_names\":{\"0\":\"a\"},\"label_descriptions\":{\"A\":\"auk\"}}}",
         "auk", "G"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lutra_error error;
        lutra_model *model;
        char *folder = folder_of("timm-token", cases[i].changes);
        if (lutra_model_open(folder, NULL, &model, &error))
            fail_msg("%s: %s", cases[i].changes, error.message);
        const char *first = lutra_model_label(model, 0), *last = lutra_model_label(model, 6);
        if (!first || !last)
            fail_msg("%s: no labels", cases[i].changes);
        assert_string_equal(first, cases[i].first);
        assert_string_equal(last, cases[i].last);
        lutra_model_close(model);
        fixture_remove(folder);
    }
}

/* A base model that was saved with the labels of the classifier it came from. */
static void labels_of_a_model_without_head_are_ignored(void **state)
{
    lutra_error error;
    lutra_model *model;
    char *folder = folder_of("hf-vit-no-head", "{\"id2label\":{\"0\":\"a\",\"1\":\"b\"}}");
    (void)state;
    fixture_write_text(folder, "preprocessor_config.json", "{\"size\":16}");
    if (lutra_model_open(folder, NULL, &model, &error))
        fail_msg("%s", error.message);
    assert_int_equal(lutra_model_get_info(model)->n_classes, 0);
    assert_null(lutra_model_label(model, 0));
    lutra_model_close(model);
    fixture_remove(folder);
}

/* Without preprocessor_config.json a Hugging Face model takes pictures of its own size, not of a default one.
 */
static void a_missing_preprocessor_leaves_the_models_size(void **state)
{
    lutra_error error;
    lutra_model *model;
    char *folder = folder_of("hf-vit", "{}");
    (void)state;
    if (lutra_model_open(folder, NULL, &model, &error))
        fail_msg("%s", error.message);
    const lutra_preprocessing *p = &lutra_model_get_info(model)->preprocessing;
    assert_int_equal(p->height, 16);
    assert_int_equal(p->width, 16);
    assert_int_equal(p->resize_height, 16);
    assert_int_equal(p->resize_width, 16);
    lutra_model_close(model);
    fixture_remove(folder);
}

/* Null says nothing, wherever it stands. */
static void nulls_in_timms_files_are_absent(void **state)
{
    static const char *const configs[] = {
        "{\"architecture\":\"vit_tiny_patch16_224\",\"model_args\":{\"embed_dim\":20,\"num_heads\":2,"
        "\"depth\":2,\"patch_size\":4,\"img_size\":null,\"mlp_layer\":null},"
        "\"pretrained_cfg\":{\"input_size\":[3,16,16],\"crop_pct\":0.75}}",
        "{\"architecture\":\"vit_tiny_patch16_224\",\"model_args\":{\"embed_dim\":20,\"num_heads\":2,"
        "\"depth\":2,\"patch_size\":4},"
        "\"pretrained_cfg\":null,\"input_size\":[3,16,16],\"crop_pct\":0.75}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        lutra_error error;
        lutra_model *model;
        char *folder = folder_of("timm-token", NULL);
        fixture_write_text(folder, "config.json", configs[i]);
        if (lutra_model_open(folder, NULL, &model, &error))
            fail_msg("%s: %s", configs[i], error.message);
        const lutra_preprocessing *p = &lutra_model_get_info(model)->preprocessing;
        assert_int_equal(p->height, 16);
        assert_int_equal(p->width, 16);
        assert_float_equal(p->crop_pct, 0.75, 0);
        lutra_model_close(model);
        fixture_remove(folder);
    }
}

/* The model was made for 16 pixels; what it is run at where its configuration says 24, as timm 1.0.31 has it.
 */
static void only_models_of_a_fixed_size_take_that_they_were_made_for(void **state)
{
    static const struct {
        const char *changes;
        size_t size;
    } cases[] = {
        {"{\"pretrained_cfg\":{\"input_size\":[3,24,24]}}", 16},
        {"{\"pretrained_cfg\":{\"input_size\":[3,24,24],\"fixed_input_size\":null}}", 16},
        {"{\"pretrained_cfg\":{\"input_size\":[3,24,24],\"fixed_input_size\":false}}", 24},
        {"{\"pretrained_cfg\":{\"input_size\":[3,24,24]},\"model_args\":{\"dynamic_img_size\":true}}", 24},
        {"{\"pretrained_cfg\":{\"input_size\":null},\"model_args\":{\"dynamic_img_size\":true}}", 16},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lutra_error error;
        lutra_model *model;
        char *folder = folder_of("timm-token", cases[i].changes);
        if (lutra_model_open(folder, NULL, &model, &error))
            fail_msg("%s: %s", cases[i].changes, error.message);
        const lutra_model_info *info = lutra_model_get_info(model);
        if (info->preprocessing.height != cases[i].size)
            fail_msg("%s: an input of %zu pixels", cases[i].changes, info->preprocessing.height);
        assert_int_equal(info->preprocessing.width, cases[i].size);
        lutra_model_close(model);
        fixture_remove(folder);
    }
}

static void run_once(const lutra_model *model, float *logits)
{
    lutra_context *context;
    lutra_error error;
    uint8_t pixels[12 * 20 * 3];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(37 * i);
    assert_int_equal(lutra_model_get_info(model)->input_bytes, sizeof pixels);
    assert_int_equal(lutra_context_create(model, NULL, &context, &error), LUTRA_OK);
    assert_int_equal(lutra_context_run(context, pixels, 1, logits, NULL, &error), LUTRA_OK);
    lutra_context_free(context);
}

/* Where nobody says what pictures the positions are of, it is those that the model is given. */
static void positions_are_of_the_input(void **state)
{
    static const char *const changes[] = {"{}", "{\"model_args\":{\"img_size\":null}}"};
    float logits[2][5];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        lutra_error error;
        lutra_model *model;
        char *folder = folder_of("timm-not-square", changes[i]);
        if (lutra_model_open(folder, NULL, &model, &error))
            fail_msg("%s: %s", changes[i], error.message);
        run_once(model, logits[i]);
        lutra_model_close(model);
        fixture_remove(folder);
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
}

/* What image processors do where their files do not say, as transformers 5.23's classes have it. */
static void absent_keys_take_the_processors_defaults(void **state)
{
    static const struct {
        const char *golden, *text;
        size_t height, resize_height, resize_width;
        int resample;
        float mean;
    } cases[] = {
        {"hf-vit", "{\"size\":16}", 16, 16, 16, 2, 0.5f},
        {"hf-vit", "{\"feature_extractor_type\":\"ViTFeatureExtractor\",\"size\":16}", 16, 16, 16, 2, 0.5f},
        {"hf-vit", "{}", 224, 224, 224, 2, 0.5f},
        {"hf-vit", "{\"size\":16,\"crop_size\":{\"shortest_edge\":8}}", 16, 16, 16, 2,
         0.5f}, /* not cropped */
        {"hf-deit", "{}", 224, 256, 256, 3, 0.5f},
        {"hf-deit", "{\"image_processor_type\":\"ViTImageProcessorFast\",\"size\":24}", 24, 24, 24, 2, 0.5f},
        {"hf-dinov2", "{}", 224, 224, 0, 3, 0.48145466f},
        {"hf-dinov2", "{\"size\":32,\"crop_size\":24}", 24, 32, 0, 3, 0.48145466f},
        {"hf-vit", "{\"image_processor_type\":\"CLIPImageProcessor\",\"size\":20,\"crop_size\":16}", 16, 20,
         0, 3, 0.48145466f},
        {"hf-vit",
         "{\"image_processor_type\":\"BitImageProcessor\",\"size\":{\"height\":20,\"width\":24},"
         "\"crop_size\":16,\"image_mean\":[0.1,0.1,0.1]}",
         16, 20, 24, 3, 0.1f},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lutra_error error;
        lutra_model *model;
        char *folder = folder_of(cases[i].golden, "{}");
        fixture_write_text(folder, "preprocessor_config.json", cases[i].text);
        if (lutra_model_open(folder, NULL, &model, &error))
            fail_msg("%s: %s", cases[i].text, error.message);
        const lutra_preprocessing *p = &lutra_model_get_info(model)->preprocessing;
        assert_int_equal(p->height, cases[i].height);
        assert_int_equal(p->width, cases[i].height);
        assert_int_equal(p->resize_height, cases[i].resize_height);
        assert_int_equal(p->resize_width, cases[i].resize_width);
        assert_int_equal(p->crop_mode, cases[i].resize_width ? LUTRA_CROP_SQUASH : LUTRA_CROP_CENTER);
        assert_int_equal(p->resample, cases[i].resample);
        assert_float_equal(p->mean[0], cases[i].mean, 1e-7);
        lutra_model_close(model);
        fixture_remove(folder);
    }
}

/* ---- what is written --------------------------------------------------------------------------- */

static void expect_same_preprocessing(const char *folder, const char *output)
{
    lutra_error error;
    lutra_model *source = NULL, *written = NULL;
    if (lutra_model_open(folder, NULL, &source, &error) || lutra_model_open(output, NULL, &written, &error))
        fail_msg("%s", error.message);
    const lutra_preprocessing *a = &lutra_model_get_info(source)->preprocessing;
    const lutra_preprocessing *b = &lutra_model_get_info(written)->preprocessing;
    assert_memory_equal(&a->crop_pct, &b->crop_pct, sizeof a->crop_pct);
    assert_memory_equal(a->mean, b->mean, sizeof a->mean);
    assert_memory_equal(a->std, b->std, sizeof a->std);
    lutra_model_close(source);
    lutra_model_close(written);
}

/* A crop_pct of 16/18 resizes to floor(16 / crop_pct) = 18 pixels, and with 9 digits to 17; the numbers at
 * the edges of a float, with 9 digits, lie beyond them. */
static void numbers_are_written_as_they_were_read(void **state)
{
    static const struct {
        const char *golden, *changes;
    } cases[] = {
        {"timm-token", "{\"pretrained_cfg\":{\"crop_pct\":0.88888888888888884}}"},
        {"timm-token", "{\"pretrained_cfg\":{\"crop_pct\":1.1754943508222875e-38}}"},
        {"timm-token", "{\"pretrained_cfg\":{\"mean\":[3.4028234663852886e38,-3.4028234663852886e38,1e-45],"
                       "\"std\":[1e-6,0.22900000214576721,3.4028234663852886e38]}}"},
        {"hf-vit-eps-1e-5", "{\"layer_norm_eps\":1.1754943508222876e-38}"},
        {"hf-vit-eps-1e-5", "{\"layer_norm_eps\":3.4028234663852886e38}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const lutra_cluster_options options = {.n_clusters = 4, .n_threads = 1};
        lutra_error error;
        char *folder = folder_of(cases[i].golden, cases[i].changes);
        char *clustered = fixture_path(folder, "clustered.safetensors"),
             *exported = fixture_path(folder, "exported.safetensors");
        if (lutra_cluster_file(folder, clustered, &options, NULL, &error) ||
            lutra_export_file(clustered, exported, LUTRA_F32, NULL, NULL, &error))
            fail_msg("%s: %s", cases[i].changes, error.message);
        expect_same_preprocessing(folder, clustered);
        expect_same_preprocessing(folder, exported);
        free(clustered);
        free(exported);
        fixture_remove(folder);
    }
}

/* A size before the crop that is given in pixels follows the input's: never down to 0, which means that it is
 * not given, nor beyond what can be read when it is written. */
static void the_size_before_the_crop_follows_the_inputs(void **state)
{
    static const struct {
        const char *size; /* with a crop_size of 16 */
        size_t image_size, resize_height, resize_width;
    } cases[] = {
        {"20", 0, 20, 0},
        {"20", 16, 20, 0},
        {"20", 32, 40, 0},
        {"18", 4, 5, 0},
        {"1", 4, 1, 0},
        {"{\"height\":1,\"width\":16}", 4, 1, 4},
        {"{\"height\":16,\"width\":1}", 4, 4, 1},
        {"65536", 16, 65536, 0},
        {"32768", 32, 65536, 0},
        {"{\"height\":16,\"width\":32768}", 32, 32, 65536},
        {"32769", 32, 0, 0}, /* too large */
        {"{\"height\":16,\"width\":32769}", 32, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const lutra_model_options options = {.image_size = cases[i].image_size};
        char text[256], *folder = folder_of("hf-vit", "{}");
        lutra_error error;
        lutra_model *model;
        snprintf(text, sizeof text,
                 "{\"image_processor_type\":\"CLIPImageProcessor\",\"size\":%s,\"crop_size\":16}",
                 cases[i].size);
        fixture_write_text(folder, "preprocessor_config.json", text);
        if (!cases[i].resize_height) {
            expect_refusal(folder, &options, LUTRA_ERROR_ARGUMENT, &error, "at most 65536", NULL);
        } else {
            if (lutra_model_open(folder, &options, &model, &error))
                fail_msg("%s: %s", text, error.message);
            const lutra_preprocessing *p = &lutra_model_get_info(model)->preprocessing;
            assert_int_equal(p->resize_height, cases[i].resize_height);
            assert_int_equal(p->resize_width, cases[i].resize_width);
            lutra_model_close(model);
        }
        fixture_remove(folder);
    }
}

static void runs_with_wrong_arguments_are_refused(void **state)
{
    static uint8_t pixels[2 * 24 * 24 * 3];
    static float outputs[2 * 64];
    lutra_error error;
    lutra_model *model;
    lutra_context *context;
    char *folder = folder_of("timm-dinov2", "{}");
    (void)state;
    assert_int_equal(lutra_model_open(folder, NULL, &model, &error), LUTRA_OK);
    const lutra_context_options too_many = {.n_threads = LUTRA_MAX_THREADS + 1};
    assert_int_equal(lutra_context_create(model, &too_many, &context, &error), LUTRA_ERROR_ARGUMENT);
    assert_null(context);
    const lutra_context_options too_large = {.max_batch = SIZE_MAX};
    assert_int_equal(lutra_context_create(model, &too_large, &context, &error), LUTRA_ERROR_ARGUMENT);
    setenv("LUTRA_ISA", "nonsense", 1);
    assert_int_equal(lutra_context_create(model, NULL, &context, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "nonsense"));
    assert_non_null(strstr(error.message, "reference"));
    unsetenv("LUTRA_ISA");

    assert_int_equal(lutra_context_create(model, NULL, &context, &error), LUTRA_OK);
    assert_int_equal(lutra_context_run(context, pixels, 0, NULL, outputs, &error), LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_context_run(context, pixels, 2, NULL, outputs, &error), LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_context_run(context, NULL, 1, NULL, outputs, &error), LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_context_run(context, pixels, 1, outputs, NULL, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "no head"));
    assert_int_equal(lutra_context_run(context, pixels, 1, NULL, outputs, &error), LUTRA_OK);
    assert_int_equal(lutra_context_run(context, pixels, 1, NULL, NULL, NULL), LUTRA_OK);
    lutra_context_free(context);
    lutra_model_close(model);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timm_configurations_that_lie_are_refused),
        cmocka_unit_test(hugging_face_configurations_that_lie_are_refused),
        cmocka_unit_test(an_absent_patch_size_is_the_types_default),
        cmocka_unit_test(preprocessors_that_lie_are_refused),
        cmocka_unit_test(json_errors_name_the_byte),
        cmocka_unit_test(links_that_lead_nowhere_are_refused),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(labels_must_match_the_classes),
        cmocka_unit_test(labels_with_a_byte_0_are_refused),
        cmocka_unit_test(class_indices_are_decimal),
        cmocka_unit_test(without_a_configuration_the_message_helps),
        cmocka_unit_test(the_configuration_beside_a_file_counts),
        cmocka_unit_test(an_option_must_agree_with_the_configuration),
        cmocka_unit_test(an_option_must_agree_with_the_tensors),
        cmocka_unit_test(timms_labels_are_found_wherever_they_are),
        cmocka_unit_test(labels_of_a_model_without_head_are_ignored),
        cmocka_unit_test(a_missing_preprocessor_leaves_the_models_size),
        cmocka_unit_test(nulls_in_timms_files_are_absent),
        cmocka_unit_test(only_models_of_a_fixed_size_take_that_they_were_made_for),
        cmocka_unit_test(positions_are_of_the_input),
        cmocka_unit_test(absent_keys_take_the_processors_defaults),
        cmocka_unit_test(numbers_are_written_as_they_were_read),
        cmocka_unit_test(the_size_before_the_crop_follows_the_inputs),
        cmocka_unit_test(runs_with_wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests_name("configurations that are wrong", tests, NULL, NULL);
}
