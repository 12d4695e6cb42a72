#include "nn/archive_hdf5.h"

#include <assert.h>
#include <pthread.h>

/* By which a file in memory grows. */
enum { STEP = 1 << 20 };

hid_t grdi_keep(grdi_ids *open, hid_t id)
{
    assert(open->count < 12);
    if (id >= 0)
        open->id[open->count++] = id;
    return id;
}

void grdi_close(grdi_ids *open)
{
    while (open->count)
        H5Idec_ref(open->id[--open->count]);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void grdi_session_begin(grdi_session *s)
{
    pthread_mutex_lock(&lock);
    H5Eget_auto2(H5E_DEFAULT, &s->print, &s->print_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLget_loading_state(&s->plugins);
    H5PLset_loading_state(0);
}

void grdi_session_end(const grdi_session *s)
{
    H5PLset_loading_state(s->plugins);
    H5Eset_auto2(H5E_DEFAULT, s->print, s->print_data);
    pthread_mutex_unlock(&lock);
}

/* ---- Types ---- */

static hid_t f32_type(void)
{
    return H5Tcopy(H5T_IEEE_F32LE);
}

static hid_t f64_type(void)
{
    return H5Tcopy(H5T_IEEE_F64LE);
}

static hid_t f16_type(void)
{
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
}

/* HDF5 has no such number: its 16 bits are stored. */
static hid_t bf16_type(void)
{
    return H5Tcopy(H5T_STD_U16LE);
}

static hid_t i64_type(void)
{
    return H5Tcopy(H5T_STD_I64LE);
}

/* As h5py and PyTables have it. */
static hid_t bool_type(void)
{
    const hid_t type = H5Tenum_create(H5T_STD_I8LE);
    H5Tenum_insert(type, "FALSE", &(int8_t){ 0 });
    H5Tenum_insert(type, "TRUE", &(int8_t){ 1 });
    return type;
}

static hid_t (*const file_types[GRD_DTYPE_COUNT])(void) = {
    [GRD_F32] = f32_type,   [GRD_F64] = f64_type, [GRD_F16] = f16_type,
    [GRD_BF16] = bf16_type, [GRD_I64] = i64_type, [GRD_BOOL] = bool_type,
};

hid_t grdi_file_type(grd_dtype dtype)
{
    return file_types[dtype]();
}

hid_t grdi_memory_type(grd_dtype dtype)
{
    const hid_t type = file_types[dtype]();
    if (dtype != GRD_BOOL)
        H5Tset_order(type, H5Tget_order(H5T_NATIVE_INT));
    return type;
}

/* HDF5 knows no empty strings, so one byte is the least. */
hid_t grdi_text_type(size_t bytes)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, bytes ? bytes : 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    return type;
}

hid_t grdi_memory_access(grdi_ids *open)
{
    const hid_t access = grdi_keep(open, H5Pcreate(H5P_FILE_ACCESS));
    H5Pset_fapl_core(access, STEP, false);
    H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    return access;
}
