/* The layout is shared with C code: this file shows that a C11 compiler takes it, and what it makes of the sizes. */
#include "protocol/layout.h"

unsigned vgpu_c_size_of_control(void);
unsigned vgpu_c_size_of_control(void) { return (unsigned)sizeof(struct vgpu_control); }
