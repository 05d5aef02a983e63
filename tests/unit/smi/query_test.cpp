#include "smi/query.hpp"

#include <catch2/catch.hpp>

#include "facts.hpp"

using namespace vgpu::smi;
using namespace vgpu::smi::test;

TEST_CASE("smi: a query is a line of names and one for each GPU, with units") {
  const std::string fields = "index, name,memory.total,memory.used,utilization.gpu,power.draw,clocks.sm,pstate";
  CHECK(gpus_csv(two_gpus(), fields, {}, true) ==
        "index, name, memory.total [MiB], memory.used [MiB], utilization.gpu [%], power.draw [W], "
        "clocks.current.sm [MHz], pstate\n"
        "0, NVIDIA H100 80GB HBM3, 1024 MiB, 64 MiB, 42 %, 250.50 W, 1980 MHz, [N/A]\n"
        "1, [N/A], [N/A], [N/A], [N/A], [N/A], [N/A], [N/A]\n");
}

TEST_CASE("smi: nounits leaves the units to the header, noheader leaves that out") {
  CHECK(gpus_csv(two_gpus(), "memory.free", *parse_csv_format("csv,nounits"), true) ==
        "memory.free [MiB]\n960\n[N/A]\n");
  CHECK(gpus_csv(two_gpus(), "memory.free", *parse_csv_format("csv, noheader"), true) == "960 MiB\n[N/A]\n");
  CHECK(gpus_csv(two_gpus(), "memory.free", *parse_csv_format("csv"), false) == "960 MiB\n[N/A]\n");
  CHECK_FALSE(parse_csv_format("noheader"));
  CHECK_FALSE(parse_csv_format("csv,nohead"));
  CHECK_FALSE(parse_csv_format("xml"));
}

TEST_CASE("smi: processes are queried by name") {
  CHECK(processes_csv(two_gpus(), "pid,process_name,used_memory,gpu_uuid", {}, true) ==
        "pid, process_name, used_gpu_memory [MiB], gpu_uuid\n"
        "140, python3, 64 MiB, GPU-1\n"
        "141, /a/path/so/long/that/it/does/not/fit/into/the/table/train, [N/A], GPU-1\n");
}

TEST_CASE("smi: a field that is unknown is named") {
  CHECK_FALSE(unknown_gpu_field("name,uuid,gpu_uuid,clocks.mem,pci.bus_id,driver_version,count,timestamp"));
  CHECK(unknown_gpu_field("name,foo,bar") == "foo");
  CHECK(unknown_gpu_field("name,,uuid") == "");
  CHECK(unknown_process_field("pid,memory.used") == "memory.used");
  CHECK_FALSE(unknown_process_field("pid,name,used_memory"));
  CHECK(gpus_csv(two_gpus(), "fan.speed,serial,pcie.link.gen.max", {}, true) ==
        "fan.speed [%], serial, pcie.link.gen.max\n[N/A], [N/A], [N/A]\n[N/A], [N/A], [N/A]\n");
  CHECK(gpu_fields_help().find("\"memory.used\"") != std::string::npos);
}
