/* Images of a SimHost (borrowed). */
#pragma once
#include "image/image.h"
#include "model/simhost.h"
Images *image_fake(SimHost *host);
