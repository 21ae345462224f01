/* SPDX-License-Identifier: MIT */
/* Memory as a file: see mem_file.c. */
#ifndef VZ_MEM_MEM_FILE_H
#define VZ_MEM_MEM_FILE_H

/* An empty one, with huge pages where the host lets us have them. -1: errno says why not. */
int mem_file_create(void);

#endif
