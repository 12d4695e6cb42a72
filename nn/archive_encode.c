#include "nn/archive_hdf5.h"

#include <string.h>

/* Properties of what is made: with them the same values give the same bytes. */
typedef struct writer {
    grdi_ids open;
    hid_t file, group, dataset;
    bool variable_text;
} writer;

static hid_t object_properties(grdi_ids *open, hid_t class)
{
    const hid_t properties = grdi_keep(open, H5Pcreate(class));
    H5Pset_obj_track_times(properties, false);
    H5Pset_attr_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    if (class != H5P_DATASET_CREATE)
        H5Pset_link_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    return properties;
}

/* Makes the groups that the path's last part lies in. */
static bool make_groups(const writer *w, const char *path)
{
    char part[GRDI_PATH_SIZE];
    for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (H5Lexists(w->file, part, H5P_DEFAULT) > 0)
            continue;
        const hid_t group = H5Gcreate2(w->file, part, H5P_DEFAULT, w->group, H5P_DEFAULT);
        if (group < 0)
            return false;
        H5Gclose(group);
    }
    return true;
}

static bool write_dataset(const writer *w, const grdi_value *value)
{
    grdi_ids open = { 0 };
    const grd_shape *shape = &value->shape;
    hsize_t sizes[GRD_MAX_RANK];
    for (int64_t d = 0; d < shape->rank; d++)
        sizes[d] = (hsize_t)shape->size[d];
    const bool text = value->kind == GRDI_DOCUMENT;
    const hid_t type =
        grdi_keep(&open, text ? grdi_text_type(value->bytes) : grdi_file_type(value->dtype));
    const hid_t memory = text ? type : grdi_keep(&open, grdi_memory_type(value->dtype));
    const hid_t space =
        grdi_keep(&open, shape->rank ? H5Screate_simple((int)shape->rank, sizes, NULL)
                                     : H5Screate(H5S_SCALAR));
    const hid_t dataset = grdi_keep(
        &open, H5Dcreate2(w->file, value->path, type, space, H5P_DEFAULT, w->dataset, H5P_DEFAULT));
    const bool written =
        dataset >= 0 && H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, value->data) >= 0;
    grdi_close(&open);
    return written;
}

static hid_t attribute_type(const grdi_value *value, bool variable_text)
{
    const hid_t text = value->kind == GRDI_TEXT ? grdi_text_type(value->bytes) : -1;
    if (variable_text && text >= 0)
        H5Tset_size(text, H5T_VARIABLE);
    return value->kind == GRDI_INTEGER ? H5Tcopy(H5T_STD_I64LE)
           : value->kind == GRDI_REAL  ? H5Tcopy(H5T_IEEE_F64LE)
                                       : text;
}

static bool write_attribute(const writer *w, const grdi_value *value)
{
    grdi_ids open = { 0 };
    char owner[GRDI_PATH_SIZE];
    const char *slash = strrchr(value->path, '/');
    snprintf(owner, sizeof owner, "/%.*s", slash ? (int)(slash - value->path) : 0, value->path);
    const hid_t type = grdi_keep(&open, attribute_type(value, w->variable_text));
    const hid_t memory = value->kind == GRDI_INTEGER ? H5T_NATIVE_INT64
                         : value->kind == GRDI_REAL  ? H5T_NATIVE_DOUBLE
                                                     : type;
    const void *from = value->kind == GRDI_INTEGER ? (const void *)&value->integer
                       : value->kind == GRDI_REAL  ? (const void *)&value->real
                       : w->variable_text          ? (const void *)&value->text
                                                   : value->text;
    const hid_t space = grdi_keep(&open, H5Screate(H5S_SCALAR));
    const hid_t object = grdi_keep(&open, H5Oopen(w->file, owner, H5P_DEFAULT));
    const hid_t attribute =
        grdi_keep(&open, object < 0 ? -1
                                    : H5Acreate2(object, slash ? slash + 1 : value->path, type,
                                                 space, H5P_DEFAULT, H5P_DEFAULT));
    const bool written = attribute >= 0 && H5Awrite(attribute, memory, from) >= 0;
    grdi_close(&open);
    return written;
}

static bool write_value(const grdi_archive *archive, const writer *w, const grdi_value *value)
{
    const bool dataset = value->kind == GRDI_ARRAY || value->kind == GRDI_DOCUMENT;
    const bool written = strlen(value->path) + 2 < GRDI_PATH_SIZE && make_groups(w, value->path) &&
                         (dataset ? write_dataset(w, value) : write_attribute(w, value));
    return written || grdi_fail(GRD_ERROR_IO, archive->op, "%s: libhdf5 cannot write %s",
                                archive->file, value->path);
}

static grdi_bytes *copy_image(const grdi_archive *archive, hid_t file, size_t reserve)
{
    const ssize_t size =
        H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 ? -1 : H5Fget_file_image(file, NULL, 0);
    if (size < 0)
        return grdi_fail(GRD_ERROR_IO, archive->op, "%s: libhdf5 cannot make the file's image",
                         archive->file);
    grdi_bytes *bytes = grdi_bytes_create(archive->op, reserve + (size_t)size);
    if (bytes && H5Fget_file_image(file, bytes->data + reserve, (size_t)size) != size)
        return grdi_fail(GRD_ERROR_IO, archive->op, "%s: libhdf5 cannot copy the file's image",
                         archive->file);
    return bytes;
}

static grdi_bytes *encode(const grdi_archive *archive, size_t reserve)
{
    writer w = { .open = { 0 }, .variable_text = archive->variable_text };
    w.group = object_properties(&w.open, H5P_GROUP_CREATE);
    w.dataset = object_properties(&w.open, H5P_DATASET_CREATE);
    const hid_t root = object_properties(&w.open, H5P_FILE_CREATE);
    const hid_t access = grdi_memory_access(&w.open);
    w.file = grdi_keep(&w.open, H5Fcreate("gradus", H5F_ACC_TRUNC, root, access));
    bool fine = w.file >= 0 ||
                grdi_fail(GRD_ERROR_IO, archive->op, "%s: libhdf5 cannot start", archive->file);
    for (int i = 0; fine && i < archive->count; i++)
        fine = write_value(archive, &w, &archive->values[i]);
    grdi_bytes *bytes = fine ? copy_image(archive, w.file, reserve) : NULL;
    grdi_close(&w.open);
    return bytes;
}

grdi_bytes *grdi_archive_encode(const grdi_archive *archive, size_t reserve)
{
    if (!archive || !grdi_may_make(archive->op))
        return NULL;
    grdi_session s;
    grdi_session_begin(&s);
    grdi_bytes *bytes = encode(archive, reserve);
    grdi_session_end(&s);
    return bytes;
}
