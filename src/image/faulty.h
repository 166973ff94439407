/* Decorator, as hv/faulty.h. Owns neither. */
#pragma once
#include "base/fault.h"
#include "image/image.h"
Images *image_faulty(Images *inner, Fault *fault);
