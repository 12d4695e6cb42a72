#include "nn/archive_hdf5.h"
#include "nn/utf8.h"

#include <string.h>

enum {
    DEPTH = 8,         /* of groups */
    OBJECTS = 1 << 16, /* in a file */
};

typedef struct reader {
    grdi_archive *archive;
    grdi_origin origin;
    uint64_t budget; /* bytes that the values may still take */
    int objects, depth;
    char path[GRDI_PATH_SIZE]; /* of what is being read */
} reader;

static void *refuse(const reader *r, const char *what)
{
    return grdi_fail(GRD_ERROR_FORMAT, r->archive->op, "%s: %s: %s", r->archive->file,
                     r->path[0] ? r->path : "/", what);
}

/* Steps into `name`; `before` is where to cut the path when done with it. */
static bool enter(reader *r, const char *name, size_t *before)
{
    *before = strlen(r->path);
    if (!grdi_utf8_plain(name, strlen(name)))
        return refuse(r, "a name in it is not plain UTF-8");
    if (*before + strlen(name) + 2 > GRDI_PATH_SIZE)
        return refuse(r, "a name in it is too long");
    snprintf(r->path + *before, GRDI_PATH_SIZE - *before, "%s%s", *before ? "/" : "", name);
    return ++r->objects <= OBJECTS || refuse(r, "the file holds too many objects");
}

/* The dtype that values of this type become; GRD_DTYPE_UNSET: none. */
static grd_dtype our_dtype(hid_t type)
{
    for (int dtype = GRD_DTYPE_UNSET + 1; dtype < GRD_DTYPE_COUNT; dtype++) {
        const hid_t wanted = grdi_file_type((grd_dtype)dtype);
        const bool equal = H5Tequal(type, wanted) > 0;
        H5Tclose(wanted);
        if (equal)
            return (grd_dtype)dtype;
    }
    return GRD_DTYPE_UNSET;
}

static bool is_bool(hid_t type)
{
    int8_t no = -1, yes = -1;
    return H5Tget_size(type) == 1 && H5Tget_nmembers(type) == 2 &&
           H5Tenum_valueof(type, "FALSE", &no) >= 0 && H5Tenum_valueof(type, "TRUE", &yes) >= 0 &&
           no == 0 && yes == 1;
}

static grd_dtype foreign_dtype(hid_t type)
{
    const size_t size = H5Tget_size(type);
    const H5T_class_t class = H5Tget_class(type);
    if (class == H5T_INTEGER)
        return size <= 8 ? GRD_I64 : GRD_DTYPE_UNSET;
    if (class == H5T_FLOAT)
        return size <= 4 ? GRD_F32 : size == 8 ? GRD_F64 : GRD_DTYPE_UNSET;
    return class == H5T_ENUM && is_bool(type) ? GRD_BOOL : GRD_DTYPE_UNSET;
}

static bool is_text(const reader *r, hid_t type)
{
    return H5Tget_class(type) == H5T_STRING &&
           (r->origin == GRDI_FOREIGN || H5Tis_variable_str(type) == 0);
}

static bool is_wide_unsigned(hid_t type)
{
    return H5Tget_class(type) == H5T_INTEGER && H5Tget_size(type) == 8 &&
           H5Tget_sign(type) == H5T_SGN_NONE;
}

static bool take(reader *r, uint64_t bytes)
{
    if (bytes > r->budget)
        return refuse(r, "the values are more than the file can hold");
    r->budget -= bytes;
    return true;
}

/* Where an array's or attribute's values come from. */
typedef struct source {
    hid_t id, type, space;
    bool attribute;
} source;

static herr_t read_values(const source *from, hid_t type, void *out)
{
    return from->attribute ? H5Aread(from->id, type, out)
                           : H5Dread(from->id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out);
}

/* The size of the text without its padding. */
static size_t trimmed(hid_t type, const char *text, size_t size)
{
    const char padding = H5Tget_strpad(type) == H5T_STR_SPACEPAD ? ' ' : '\0';
    if (H5Tget_strpad(type) == H5T_STR_NULLTERM)
        return strnlen(text, size);
    while (size && text[size - 1] == padding)
        size--;
    return size;
}

static bool put_chars(reader *r, grdi_value_kind kind, const char *text, size_t size)
{
    if (!grdi_utf8_valid(text, size) || memchr(text, '\0', size))
        return refuse(r, "the text is not UTF-8");
    if (kind == GRDI_TEXT && !grdi_utf8_plain(text, size))
        return refuse(r, "the text holds control characters");
    return grdi_put_chars(r->archive, r->path, kind, text, size);
}

static bool read_fixed_text(reader *r, const source *from, grdi_value_kind kind)
{
    const size_t size = H5Tget_size(from->type);
    if (!take(r, size))
        return false;
    char *buffer = grdi_allocate(size);
    if (!buffer)
        return grdi_fail_memory(r->archive->op, size);
    const bool done = read_values(from, from->type, buffer) >= 0
                          ? put_chars(r, kind, buffer, trimmed(from->type, buffer, size))
                          : (bool)refuse(r, "the text cannot be read");
    grdi_free(buffer, size);
    return done;
}

static bool read_variable_text(reader *r, const source *from, grdi_value_kind kind)
{
    grdi_ids open = { 0 };
    char *text = NULL;
    const hid_t memory = grdi_keep(&open, H5Tcopy(H5T_C_S1));
    H5Tset_size(memory, H5T_VARIABLE);
    H5Tset_cset(memory, H5Tget_cset(from->type));
    bool done;
    if (read_values(from, memory, &text) < 0)
        done = refuse(r, "the text cannot be read");
    else
        done = take(r, text ? strlen(text) : 0) &&
               put_chars(r, kind, text ? text : "", text ? strlen(text) : 0);
    H5free_memory(text);
    grdi_close(&open);
    return done;
}

static bool read_text(reader *r, const source *from, grdi_value_kind kind)
{
    if (H5Sget_simple_extent_type(from->space) != H5S_SCALAR)
        return refuse(r, "an array of texts is not supported");
    return H5Tis_variable_str(from->type) > 0 ? read_variable_text(r, from, kind)
                                              : read_fixed_text(r, from, kind);
}

static bool read_number(reader *r, const source *from, grd_dtype dtype)
{
    int64_t integer = 0;
    double real = 0;
    const bool floating = dtype != GRD_I64 && dtype != GRD_BOOL;
    const hid_t type = dtype == GRD_BOOL              ? from->type
                       : floating                     ? H5T_NATIVE_DOUBLE
                       : is_wide_unsigned(from->type) ? H5T_NATIVE_UINT64
                                                      : H5T_NATIVE_INT64;
    int8_t yes = 0;
    void *out = dtype == GRD_BOOL ? (void *)&yes : floating ? (void *)&real : (void *)&integer;
    if (read_values(from, type, out) < 0)
        return refuse(r, "the attribute cannot be read");
    if (integer < 0 && is_wide_unsigned(from->type))
        return refuse(r, "the number is larger than an int64 holds");
    return floating ? grdi_put_real(r->archive, r->path, real)
                    : grdi_put_integer(r->archive, r->path, dtype == GRD_BOOL ? yes : integer);
}

static bool may_be_shaped(reader *r, const source *from, grd_shape *shape)
{
    hsize_t sizes[GRD_MAX_RANK], limits[GRD_MAX_RANK];
    const int rank = H5Sget_simple_extent_ndims(from->space);
    if (H5Sget_simple_extent_type(from->space) == H5S_NULL || rank < 0)
        return refuse(r, "it has no values");
    if (rank > GRD_MAX_RANK || H5Sget_simple_extent_dims(from->space, sizes, limits) < 0)
        return refuse(r, "it has more than 8 dimensions");
    *shape = (grd_shape){ .rank = rank };
    for (int d = 0; d < rank; d++) {
        if (sizes[d] > INT64_MAX || (r->origin == GRDI_OURS && sizes[d] != limits[d]))
            return refuse(r, "its size is not fixed or too large");
        shape->size[d] = (int64_t)sizes[d];
    }
    return true;
}

static bool valid_bools(const void *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (((const unsigned char *)values)[i] > 1)
            return false;
    return true;
}

static bool fits_int64(const int64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] < 0)
            return false;
    return true;
}

/* Sizes are held against the budget before anything is allocated. */
static bool read_array(reader *r, const source *from, grd_dtype dtype)
{
    grd_shape shape;
    size_t bytes;
    if (!may_be_shaped(r, from, &shape))
        return false;
    if (!grdi_array_bytes(&shape, dtype, &bytes))
        return refuse(r, "its size is not fixed or too large");
    if (!take(r, bytes))
        return false;
    if (r->origin == GRDI_OURS && H5Dget_storage_size(from->id) != bytes)
        return refuse(r, "its stored size is not that of its values");
    void *data = grdi_put_array(r->archive, r->path, dtype, &shape);
    if (!data)
        return false;
    const bool wide = is_wide_unsigned(from->type);
    const hid_t memory = wide ? H5Tcopy(H5T_NATIVE_UINT64) : grdi_memory_type(dtype);
    const herr_t status = bytes ? read_values(from, memory, data) : 0;
    H5Tclose(memory);
    if (status < 0)
        return refuse(r, "its values cannot be read");
    if (dtype == GRD_BOOL && !valid_bools(data, bytes))
        return refuse(r, "a bool in it is neither true nor false");
    return !wide || fits_int64(data, bytes / 8) ||
           refuse(r, "a number in it is larger than an int64 holds");
}

static bool known_filters(hid_t properties)
{
    const int count = H5Pget_nfilters(properties);
    for (int i = 0; i < count; i++) {
        unsigned flags, config;
        size_t values = 0;
        const H5Z_filter_t filter =
            H5Pget_filter2(properties, (unsigned)i, &flags, &values, NULL, 0, NULL, &config);
        if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE &&
            filter != H5Z_FILTER_FLETCHER32)
            return false;
    }
    return count >= 0;
}

static bool may_be_stored(reader *r, hid_t dataset)
{
    const hid_t properties = H5Dget_create_plist(dataset);
    const H5D_layout_t layout = H5Pget_layout(properties);
    const bool outside = H5Pget_external_count(properties) != 0;
    const bool filters = known_filters(properties), none = H5Pget_nfilters(properties) == 0;
    H5Pclose(properties);
    if (outside)
        return refuse(r, "its values lie in another file");
    if (layout == H5D_VIRTUAL || layout < 0)
        return refuse(r, "it is a virtual dataset");
    if (r->origin == GRDI_OURS && (layout != H5D_CONTIGUOUS || !none))
        return refuse(r, "it is chunked or filtered");
    return filters || refuse(r, "it is stored through a filter other than deflate, shuffle and "
                                "fletcher32");
}

static bool read_source(reader *r, const source *from)
{
    const bool ours = r->origin == GRDI_OURS;
    if (from->type < 0 || from->space < 0)
        return refuse(r, "it cannot be opened");
    if (H5Tcommitted(from->type) != 0)
        return refuse(r, "it has a named type");
    if (is_text(r, from->type))
        return read_text(r, from, from->attribute ? GRDI_TEXT : GRDI_DOCUMENT);
    const grd_dtype dtype = ours ? our_dtype(from->type) : foreign_dtype(from->type);
    if (dtype == GRD_DTYPE_UNSET)
        return refuse(r, "its type is not supported");
    if (!from->attribute)
        return read_array(r, from, dtype);
    if (H5Sget_simple_extent_type(from->space) != H5S_SCALAR)
        return refuse(r, "the attribute is not a scalar");
    return read_number(r, from, dtype);
}

static bool read_dataset(reader *r, hid_t dataset)
{
    if (!may_be_stored(r, dataset))
        return false;
    grdi_ids open = { 0 };
    source from = { .id = dataset };
    from.type = grdi_keep(&open, H5Dget_type(dataset));
    from.space = grdi_keep(&open, H5Dget_space(dataset));
    const bool done = read_source(r, &from);
    grdi_close(&open);
    return done;
}

static herr_t read_attribute(hid_t object, const char *name, const H5A_info_t *info, void *user)
{
    (void)info;
    reader *r = user;
    size_t before;
    if (!enter(r, name, &before))
        return -1;
    grdi_ids open = { 0 };
    const hid_t attribute = grdi_keep(&open, H5Aopen(object, name, H5P_DEFAULT));
    source from = { .id = attribute, .attribute = true };
    from.type = grdi_keep(&open, H5Aget_type(attribute));
    from.space = grdi_keep(&open, H5Aget_space(attribute));
    const bool done = read_source(r, &from);
    grdi_close(&open);
    r->path[before] = '\0';
    return done ? 0 : -1;
}

static herr_t read_link(hid_t group, const char *name, const H5L_info_t *info, void *user);

/* Ours are read in the order of writing, so that they come back as they were. */
static bool read_object(reader *r, hid_t object)
{
    const H5_index_t index = r->origin == GRDI_OURS ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
    const H5I_type_t type = H5Iget_type(object);
    if (type != H5I_GROUP && type != H5I_DATASET)
        return refuse(r, "it is neither a group nor a dataset");
    if (type == H5I_DATASET && !read_dataset(r, object))
        return false;
    if (H5Aiterate2(object, index, H5_ITER_INC, NULL, read_attribute, r) < 0)
        return grdi_latched() ? false : (bool)refuse(r, "its attributes cannot be listed");
    if (type == H5I_DATASET)
        return true;
    if (++r->depth > DEPTH)
        return refuse(r, "groups lie too deep in each other");
    if (H5Literate(object, index, H5_ITER_INC, NULL, read_link, r) < 0)
        return grdi_latched() ? false : (bool)refuse(r, "its members cannot be listed");
    r->depth--;
    return true;
}

static bool is_single(hid_t object)
{
    H5O_info_t info;
    return H5Oget_info2(object, &info, H5O_INFO_BASIC) >= 0 && info.rc == 1;
}

static herr_t refuse_external(const char *file, const char *path, const char *target_file,
                              const char *target, unsigned *flags, hid_t access, void *user)
{
    (void)file, (void)path, (void)target_file, (void)target, (void)flags, (void)access, (void)user;
    return -1;
}

static hid_t open_member(hid_t group, const char *name)
{
    const hid_t access = H5Pcreate(H5P_LINK_ACCESS);
    H5Pset_elink_cb(access, refuse_external, NULL);
    H5Pset_nlinks(access, 1);
    const hid_t object = H5Oopen(group, name, access);
    H5Pclose(access);
    return object;
}

static herr_t read_link(hid_t group, const char *name, const H5L_info_t *info, void *user)
{
    reader *r = user;
    size_t before;
    if (!enter(r, name, &before))
        return -1;
    bool done = false;
    const hid_t object = info->type == H5L_TYPE_HARD ? open_member(group, name) : -1;
    if (info->type != H5L_TYPE_HARD)
        refuse(r, info->type == H5L_TYPE_SOFT ? "it is a soft link" : "it is an external link");
    else if (object < 0)
        refuse(r, "it cannot be opened");
    else if (r->origin == GRDI_OURS && !is_single(object))
        refuse(r, "it has several names");
    else
        done = read_object(r, object);
    if (object >= 0)
        H5Oclose(object);
    r->path[before] = '\0';
    return done ? 0 : -1;
}

/* libhdf5 would copy the image three times; these hand it what there is, which it only reads. */
static void *lend_image(size_t size, H5FD_file_image_op_t op, void *image)
{
    (void)size, (void)op;
    return image;
}

static void *lend_copy(void *to, const void *from, size_t size, H5FD_file_image_op_t op,
                       void *image)
{
    (void)from, (void)size, (void)op, (void)image;
    return to;
}

static void *refuse_growth(void *image, size_t size, H5FD_file_image_op_t op, void *same)
{
    (void)image, (void)size, (void)op, (void)same;
    return NULL;
}

static herr_t keep_image(void *image, H5FD_file_image_op_t op, void *same)
{
    (void)image, (void)op, (void)same;
    return 0;
}

static void *same_image(void *image)
{
    return image;
}

static herr_t forget_image(void *image)
{
    (void)image;
    return 0;
}

static bool lend(hid_t access, const unsigned char *image, size_t size)
{
    H5FD_file_image_callbacks_t callbacks = { lend_image, lend_copy,    refuse_growth, keep_image,
                                              same_image, forget_image, (void *)image };
    return size && H5Pset_file_image_callbacks(access, &callbacks) >= 0 &&
           H5Pset_file_image(access, (void *)image, size) >= 0;
}

static bool decode(reader *r, const unsigned char *image, size_t size)
{
    grdi_ids open = { 0 };
    const hid_t access = grdi_memory_access(&open);
    /* Without an image a file of that name would be opened. */
    const hid_t file = grdi_keep(
        &open, lend(access, image, size) ? H5Fopen("gradus", H5F_ACC_RDONLY, access) : -1);
    const hid_t root = grdi_keep(&open, file < 0 ? -1 : H5Gopen2(file, "/", H5P_DEFAULT));
    const bool done =
        root >= 0 ? read_object(r, root) : (bool)refuse(r, "not an HDF5 file, or a damaged one");
    grdi_close(&open);
    return done;
}

grdi_archive *grdi_archive_decode(const char *op, const char *file, const unsigned char *image,
                                  size_t size, grdi_origin origin)
{
    if (!grdi_may_make(op))
        return NULL;
    reader r = { .archive = grdi_archive_create(op, file),
                 .origin = origin,
                 .budget = origin == GRDI_OURS ? size : (uint64_t)1 << 30 };
    if (!r.archive)
        return NULL;
    grdi_session s;
    grdi_session_begin(&s);
    const bool done = decode(&r, image, size);
    grdi_session_end(&s);
    return done ? r.archive : NULL;
}
