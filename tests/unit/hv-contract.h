/* What every Hypervisor owes its callers (hv/hypervisor.h), as tests that run against any of them:
 * the simulated one and real QEMU answer the same questions.
 *
 * A test program fills in an HvContract, whose functions do what a Hypervisor cannot (create
 * machines and files), and returns what hv_contract_run() returns:
 *
 *     int main(void)
 *     {
 *         HvContract contract = {.hv = hv_fake_new(host), .host = host, .make_vm = make_vm, …};
 *         return hv_contract_run("the simulated hypervisor", &contract);
 *     }
 *
 * Each case makes a machine of its own and powers it off at its end, also when it fails. The suite
 * takes the one subscriber of @hv for itself. Every wait polls with a deadline of
 * HV_CONTRACT_SECONDS. */
#pragma once

#include "hv/hypervisor.h"

#define HV_CONTRACT_SECONDS  60
#define HV_CONTRACT_CAPACITY (1024 * 1024)

typedef struct {
    Hypervisor *hv; /* up, and stays so; borrowed */
    void *host;     /* first argument of the functions below */
    /* Define a persistent machine that is off, with @n_disks disks vda, vdb … : qcow2 files of
     * HV_CONTRACT_CAPACITY without backing file. Its guest need not do anything. Its uuid, yours.
     */
    char *(*make_vm)(void *host, const char *name, unsigned n_disks);
    /* Make a qcow2 file of HV_CONTRACT_CAPACITY on the qcow2 file @backing, new names each time.
     * Its path, yours. */
    char *(*make_overlay)(void *host, const char *backing);
    /* Remove a file that no machine uses any more. */
    void (*remove_file)(void *host, const char *path);
    /* Give the machine, which is off, a managed-save image. It is off afterwards. And drop that
     * image. */
    void (*save)(void *host, const char *uuid);
    void (*drop_save)(void *host, const char *uuid);
} HvContract;

/* Run all cases; the number of failed ones. */
int hv_contract_run(const char *name, const HvContract *contract);
