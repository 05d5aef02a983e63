#ifndef VGPU_SOFTGPU_SOFTGPU_H
#define VGPU_SOFTGPU_SOFTGPU_H
/* What the software GPU's library exports beside the CUDA driver API. C11 and C++. */

#ifdef __cplusplus
extern "C" {
#endif

#define VGPU_SOFTGPU_LOG_ERROR 0
#define VGPU_SOFTGPU_LOG_WARNING 1
#define VGPU_SOFTGPU_LOG_INFO 2

/* Sends log lines to `log` instead of stderr; NULL sends them to stderr again. `text` is one line without a newline, of
 * the form "softgpu: message key=value", and valid only during the call. `log` may be called by any thread, also by
 * several at once, and must not call the driver API. Any thread, any time. */
__attribute__((visibility("default"))) void vgpu_softgpu_set_log(void (*log)(int level, const char* text));

#ifdef __cplusplus
}
#endif
#endif
