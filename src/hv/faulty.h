/* Decorator: asks @fault at every changing call (and at reading calls once dead). Owns neither. */
#pragma once
#include "base/fault.h"
#include "hv/hypervisor.h"
Hypervisor *hv_faulty(Hypervisor *inner, Fault *fault);
