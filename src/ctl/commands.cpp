#include "ctl/commands.hpp"

#include "actors/build_info.hpp"

namespace vgpu::ctl {
namespace {

CLI::App* verb(CLI::App& app, Options& options, const std::string& name, const std::string& what) {
  CLI::App* const made = app.add_subcommand(name, what);
  made->fallthrough();  // --json and --socket may stand behind the verb, too
  made->callback([&options, name] { options.verb = name; });
  return made;
}

void add_vm(CLI::App* app, Options& options) {
  app->add_option("VM", options.vm, "the VM's number, name or UUID")->required()->type_name("");
}

void add_pool(CLI::App* app, Options& options) {
  app->add_option("POOL", options.pool, "the pool's name")->required()->type_name("");
}

void add_session(CLI::App* app, Options& options) {
  app->add_option("SESSION", options.session, "the session's number; vgpuctl sessions lists them")
      ->required()
      ->type_name("");
}

void describe_looking(CLI::App& app, Options& options) {
  verb(app, options, "status", "how vgpud is, in a screenful; exit code 1 where it is not healthy");
  CLI::App* const top = verb(app, options, "top", "GPUs, pools and VMs, live; without a terminal as with --once");
  top->add_flag("--once", options.once, "print one picture, and end");
  top->add_option("--interval", options.interval, "seconds between two pictures")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 3600.0));
  top->add_option("--sort", options.sort, "share, memory, calls, waits, sessions or name")
      ->type_name("KEY")
      ->check(CLI::IsMember({"share", "memory", "calls", "waits", "sessions", "name"}));
  verb(app, options, "vms", "the VMs: what they were given, what they use");
  verb(app, options, "sessions", "the guest processes that have a session");
  verb(app, options, "pools", "the pools, their GPUs, and whether they take new sessions");
  verb(app, options, "gpus", "the GPUs: health and sensors");
  CLI::App* const events = verb(app, options, "events", "what happened: the last 1000 lines, then what comes");
  events->add_flag("--once", options.once, "only what happened so far");
}

void describe_changing(CLI::App& app, Options& options) {
  CLI::App* const set =
      verb(app, options, "set", "change what a VM was given, at once and over restarts: set VM weight 200");
  add_vm(set, options);
  set->add_option("KEY", options.key, std::string("one of: ") + kSettable)->required()->type_name("");
  set->add_option("VALUE", options.value, "as in the configuration, or default: what that says")
      ->required()
      ->type_name("");
  add_session(verb(app, options, "kill", "end a session, now"), options);
  CLI::App* const quarantine = verb(app, options, "quarantine", "give a VM no new sessions, until release");
  add_vm(quarantine, options);
  quarantine->add_flag("--end", options.end, "end those that it has, too");
  add_vm(verb(app, options, "release", "lift a VM's quarantine"), options);
  CLI::App* const drain = verb(app, options, "drain", "give no new sessions in a pool, until resume");
  add_pool(drain, options);
  drain->add_flag("--end", options.end, "end those that it has, too");
  add_pool(verb(app, options, "resume", "give sessions in a pool again"), options);
  verb(app, options, "reload", "read the configuration again; as SIGHUP, but says here what is wrong with it");
  verb(app, options, "log-level", "write more or less into vgpud's log, until it is reloaded or restarted")
      ->add_option("LEVEL", options.level, "trace, debug, info, warn or error")
      ->required()
      ->type_name("");
}

void describe_watching(CLI::App& app, Options& options) {
  add_vm(verb(app, options, "trace", "the calls of a VM's sessions as they come, with arguments and results"), options);
  CLI::App* const profile = verb(app, options, "profile", "a session's calls for a while: count, bytes, time");
  add_session(profile, options);
  profile->add_option("--seconds", options.seconds, "how long")->type_name("SECONDS")->check(CLI::Range(0.01, 3600.0));
  CLI::App* const completion = verb(app, options, "completion", "print the completions for a shell: bash or zsh");
  completion->add_option("SHELL", options.shell, "bash or zsh; man: the man page")
      ->required()
      ->type_name("")
      ->check(CLI::IsMember({"bash", "zsh", "man"}));
}

}  // namespace

void describe(CLI::App& app, Options& options) {
  app.name("vgpuctl");
  app.description("Asks and steers vgpud, which shares GPUs between virtual machines.");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("vgpuctl ") + daemon::kVersion);
  app.add_option("--socket", options.socket, "vgpud's admin socket; default: where a vgpud of this user or machine is")
      ->type_name("PATH");
  app.add_flag("--json", options.json, "print what vgpud answers: one JSON object, or one a line of what goes on");
  describe_looking(app, options);
  describe_changing(app, options);
  describe_watching(app, options);
}

}  // namespace vgpu::ctl
