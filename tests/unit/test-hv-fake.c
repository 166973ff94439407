/* The simulated hypervisor keeps the contract that real QEMU keeps. */
#include "hv-contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/fake.h"
#include "model/simhost-face.h"

static unsigned serial;

static char *make_vm(void *data, const char *name, unsigned n_disks)
{
    SimHost *host = data;
    char *uuid = g_uuid_string_random();

    simhost_add_domain(host, uuid, name, DOMAIN_OFF);
    for (unsigned i = 0; i < n_disks; i++) {
        g_autofree char *path = g_strdup_printf("/images/%s-%u.qcow2", uuid, i);
        char target[] = {'v', 'd', (char)('a' + i), 0};

        simhost_add_image(host, path, "qcow2", NULL, NULL, HV_CONTRACT_CAPACITY);
        simhost_add_disk(host, uuid, target, path, "qcow2");
    }
    return uuid;
}

static char *make_overlay(void *data, const char *backing)
{
    char *path = g_strdup_printf("/images/overlay-%u.qcow2", ++serial);

    assert_true(simhost_overlay(data, path, backing, "qcow2", HV_CONTRACT_CAPACITY, NULL));
    return path;
}

static void remove_file(void *data, const char *path)
{
    assert_true(simhost_unlink(data, path, NULL, NULL));
}

static void save(void *data, const char *uuid)
{
    simhost_set_managed_save(data, uuid, true);
}

static void drop_save(void *data, const char *uuid)
{
    simhost_set_managed_save(data, uuid, false);
}

int main(void)
{
    g_autoptr(SimHost) host = simhost_new();
    g_autoptr(Hypervisor) hv = hv_fake_new(host);
    HvContract contract = {
        .hv = hv,
        .host = host,
        .make_vm = make_vm,
        .make_overlay = make_overlay,
        .remove_file = remove_file,
        .save = save,
        .drop_save = drop_save,
    };

    return hv_contract_run("the simulated hypervisor", &contract);
}
