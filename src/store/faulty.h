/* Decorator, as hv/faulty.h. Owns neither. */
#pragma once
#include "base/fault.h"
#include "store/files.h"
Files *files_faulty(Files *inner, Fault *fault);
